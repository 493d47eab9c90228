"""Every table of the system: its name, its key, its partition, its columns.

This package is the leaf of the import tree: it imports nothing of the project, and whoever reads or writes a
table takes its shape from here. dbt's contracts (`dbt_project/models/**.yml`) and the suites
(`expectations/suites/`) are held equal to it by `tests/contracts/`.

A column's type is one of: string, timestamp (UTC), date, boolean, integer (64 bit), double,
decimal(p,s), embedding (a fixed-size list of float32; only ever inside the lake).
"""

from __future__ import annotations

from expectations.tables.clean import CLEAN
from expectations.tables.days import arrived_by, day_in
from expectations.tables.features import FEATURES
from expectations.tables.feeds import (
    ACTION_FEEDS,
    EVENT_TYPES,
    FEEDS,
    PLATFORMS,
    REQUIRED_FEEDS,
    RULE_ACTIONS,
    STATE_FEEDS,
)
from expectations.tables.outputs import OUTPUTS
from expectations.tables.places import (
    EVALUATION_DAYS,
    claim_file,
    clean_dir,
    embeddings_dir,
    encoder_training_dir,
    encoders_dir,
    features_db,
    history_dir,
    history_stem,
    kept_history_file,
    landing_dir,
    new_history_file,
    outputs_dir,
    receipts_dir,
    recommender_training_dir,
    recommenders_dir,
    run_dir,
)
from expectations.tables.published import (
    DATA_FRESHNESS,
    DATA_FRESHNESS_SQL,
    HISTORIES,
    PIPELINE_RUNS,
    PUBLISHED,
    REFUSED_CHECKS,
)
from expectations.tables.shape import Column, Table

__all__ = [
    "ACTION_FEEDS",
    "CLEAN",
    "DATA_FRESHNESS",
    "DATA_FRESHNESS_SQL",
    "EVALUATION_DAYS",
    "EVENT_TYPES",
    "FEATURES",
    "FEEDS",
    "HISTORIES",
    "OUTPUTS",
    "PIPELINE_RUNS",
    "PLATFORMS",
    "PUBLISHED",
    "REFUSED_CHECKS",
    "REQUIRED_FEEDS",
    "RULE_ACTIONS",
    "STATE_FEEDS",
    "Column",
    "Table",
    "arrived_by",
    "claim_file",
    "clean_dir",
    "day_in",
    "embeddings_dir",
    "encoder_training_dir",
    "encoders_dir",
    "features_db",
    "history_dir",
    "history_stem",
    "kept_history_file",
    "landing_dir",
    "new_history_file",
    "outputs_dir",
    "receipts_dir",
    "recommender_training_dir",
    "recommenders_dir",
    "run_dir",
]
