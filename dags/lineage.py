"""What each task reads and writes, as OpenLineage's datasets: Airflow's own provider sends the events.

Off unless the setting `lineage` names a file or an address (`qianmian/airflow_home.py`); then nothing of this is
imported. Names follow OpenLineage's: a namespace that says where (`file`, `duckdb`, `s3://bucket`,
`postgres://host:port`) and a name within it, the same for the task that writes and the one that reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from daily_run import DailyRun

from expectations.tables import (
    CLEAN,
    FEATURES,
    FEEDS,
    OUTPUTS,
    PIPELINE_RUNS,
    PUBLISHED,
    REFUSED_CHECKS,
    Table,
    clean_dir,
    encoders_dir,
    features_db,
    landing_dir,
    receipts_dir,
    recommenders_dir,
)

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

_SETTLED = {**PUBLISHED, PIPELINE_RUNS.name: PIPELINE_RUNS, REFUSED_CHECKS.name: REFUSED_CHECKS}
_LEARNED = tuple(
    f"features/{name}" for name in ("user_actions", "item_features", "user_features", "segment_items")
)
_MODELS = ("models/recommender", "models/text_encoder")


def _all(place: str, tables: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{place}/{table}" for table in tables)


#: By task: what it reads, what it writes, as `<place>/<table>`.
FLOW: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prepare": (("source/",), _all("feeds", FEEDS)),
    "land": (_all("feeds", FEEDS), _all("landing", FEEDS)),
    "clean": (_all("landing", FEEDS), _all("clean", CLEAN)),
    "check_clean": (_all("clean", CLEAN), ("outputs/data_quality_results_clean",)),
    "build_features": (
        _all("clean", (name for name in CLEAN if name != "quarantine")),
        _all("features", FEATURES),
    ),
    "embed_items": (("features/item_features", *_MODELS), ("embeddings/",)),
    "portray": (
        _all("features", FEATURES),
        _all("outputs", ("user_traits", "user_profiles", "taste_segments", "item_portraits")),
    ),
    "recommend": (
        (*_LEARNED, "features/active_rules", "features/user_impressions", "embeddings/", *_MODELS),
        _all(
            "outputs",
            ("home_recommendations", "recommendation_explanations", "recommendation_filters", "similar_items"),
        ),
    ),
    "lay_out_pages": (
        (*_all("features", FEATURES), "outputs/home_recommendations", "outputs/similar_items"),
        ("outputs/homepage_layouts",),
    ),
    "evaluate": (
        ("outputs/home_recommendations", "features/later_purchases", *_LEARNED, *_MODELS),
        ("outputs/model_metrics",),
    ),
    "build_tables": (
        (
            *_all("outputs", (name for name in OUTPUTS if name != "data_quality_results")),
            *_all("features", ("user_features", "item_features", "segment_items")),
        ),
        _all("candidates", (name for name in PUBLISHED if name != "data_quality_results")),
    ),
    "check_tables": (
        (
            *_all("candidates", (name for name in PUBLISHED if name != "data_quality_results")),
            "outputs/data_quality_results_clean",
        ),
        ("outputs/data_quality_results",),
    ),
    "publish": (
        (
            *_all("candidates", (name for name in PUBLISHED if name != "data_quality_results")),
            "outputs/data_quality_results",
        ),
        (*_all("history", PUBLISHED), *_all("warehouse", _SETTLED)),
    ),
    "record_refusal": ((), _all("warehouse", (PIPELINE_RUNS.name, REFUSED_CHECKS.name))),
    "publish_postgres": (_all("warehouse", _SETTLED), _all("postgres", _SETTLED)),
    "publish_s3": (_all("history", PUBLISHED), _all("s3", PUBLISHED)),
    "check_freshness": (_all("warehouse", (PIPELINE_RUNS.name,)), ()),
    "forget_users": (
        ("clean/erasure_requests",),
        (
            *_all("landing", FEEDS),
            *_all("clean", CLEAN),
            *_all("history", PUBLISHED),
            *_all("warehouse", _SETTLED),
        ),
    ),
    "forget_in_postgres": (("clean/erasure_requests",), _all("postgres", _SETTLED)),
    "forget_in_s3": (("clean/erasure_requests",), _all("s3", PUBLISHED)),
    "close_receipts": (("clean/erasure_requests",), ("receipts/",)),
    "apply_retention": ((), ("clean/quarantine", *_all("history", PUBLISHED))),
    "train_encoder": (("features/user_actions", "features/item_features", "features/user_searches"), _MODELS[1:]),
    "promote_encoder": (("features/user_actions", "features/item_features", *_MODELS[1:]), _MODELS[1:]),
    "embed_for_training": (("features/item_features", *_MODELS[1:]), ("embeddings/",)),
    "train_recommender": ((*_LEARNED, "embeddings/", *_MODELS[1:]), _MODELS[:1]),
    "promote_recommender": ((*_LEARNED, "embeddings/", *_MODELS[:1]), _MODELS[:1]),
}

_SHAPES: Mapping[str, Mapping[str, Table]] = {
    "clean": CLEAN,
    "features": FEATURES,
    "outputs": OUTPUTS,
    "candidates": PUBLISHED,
    "history": PUBLISHED,
    "warehouse": _SETTLED,
    "postgres": _SETTLED,
    "s3": PUBLISHED,
}


def facets(task_id: str, run: DailyRun) -> OperatorLineage:
    """Return what the task reads and writes in one run, with the columns where they are ours to name."""
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    reads, writes = FLOW.get(task_id, ((), ()))
    if task_id == "prepare" and run.settings.adapter == "feeds":
        reads, writes = (), ()  # they are feeds already
    named = {name: place(name, run) for name in (*reads, *writes)}
    return OperatorLineage(
        inputs=[InputDataset(*at, facets=_columns(name)) for name in reads if (at := named[name])],
        outputs=[OutputDataset(*at, facets=_columns(name)) for name in writes if (at := named[name])],
    )


def place(name: str, run: DailyRun) -> tuple[str, str] | None:
    """Return namespace and name of a `<place>/<table>` in one run; None where the run has no such place."""
    where, _, table = name.partition("/")
    lake, own = run.lake, run.settings
    match where:
        case "source":
            return _folder(run.source) if run.source else None
        case "feeds":
            return _folder(f"{run.feeds.rstrip('/')}/{table}")
        case "features" | "candidates":
            schema = "features" if where == "features" else "published"
            return "duckdb", f"{features_db(lake)}/{schema}.{table}"
        case "warehouse":
            return "duckdb", f"{own.warehouse}/main.{table}"
        case "postgres":
            return _postgres(own.postgres_target, own.postgres_schema, table) if own.postgres_target else None
        case "s3":
            return _folder(f"{own.s3_target.rstrip('/')}/tables/{table}") if own.s3_target else None
    folders = {
        "landing": landing_dir(lake) / table,
        "clean": clean_dir(lake, table),
        "outputs": lake / "outputs" / table,
        "history": lake / "published" / table,
        "embeddings": lake / "embeddings",
        "receipts": receipts_dir(lake),
        "models": recommenders_dir(lake) if table == "recommender" else encoders_dir(lake),
    }
    return "file", str(folders[where])


def _folder(address: str) -> tuple[str, str]:
    parsed = urlparse(address)
    return (f"s3://{parsed.netloc}", parsed.path.strip("/")) if parsed.scheme == "s3" else ("file", address)


def _postgres(address: str, schema: str, table: str) -> tuple[str, str]:
    from psycopg2.extensions import parse_dsn

    said = parse_dsn(address)
    server = f"postgres://{said.get('host', 'localhost')}:{said.get('port', '5432')}"
    return server, f"{said.get('dbname', '')}.{schema}.{table}"


def _columns(name: str) -> dict[str, Any]:
    from openlineage.client.facet_v2 import documentation_dataset, schema_dataset

    where, _, table = name.partition("/")
    shape = _SHAPES.get(where, {}).get(table)
    if shape is None:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=c.name, type=c.type, description=c.description)
        for c in shape.columns
    ]
    return {
        "schema": schema_dataset.SchemaDatasetFacet(fields=fields),
        "documentation": documentation_dataset.DocumentationDatasetFacet(description=shape.description),
    }
