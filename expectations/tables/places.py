"""Where things lie in a shop's lake. Every path of the lake is made here."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

EVALUATION_DAYS = 7  # days after the as-of date that later_purchases, and so model_metrics, looks at


def landing_dir(lake: Path) -> Path:
    """Raw files as handed over: `landing/<feed>/<file>`, with `landing/manifest.jsonl`."""
    return lake / "landing"


def clean_dir(lake: Path, table: str) -> Path:
    """One clean table: `clean/<table>/_manifest.json` names the Parquet files that stand."""
    return lake / "clean" / table


def features_db(lake: Path) -> Path:
    """The DuckDB file that dbt works in: daily aggregates kept, FEATURES and candidate PUBLISHED tables.

    Opened directly its catalogue is called `features` as the schema is: name tables in full,
    `features.features.item_features` and `features.published.hot_items`.
    """
    return lake / "features.duckdb"


def embeddings_dir(lake: Path, model_version: str) -> Path:
    """Item vectors by content hash, one folder a model version."""
    return lake / "embeddings" / f"model={model_version}"


def outputs_dir(lake: Path, as_of: str) -> Path:
    """What the models wrote for one day: `<table>.parquet`."""
    return lake / "outputs" / f"as_of_date={as_of}"


def history_dir(lake: Path, table: str, as_of: str) -> Path:
    """Published history: one file per publishing of the day."""
    return lake / "published" / table / f"as_of_date={as_of}"


def history_stem(run_id: str, published_at: datetime | None) -> str:
    """Name of one publishing. A run that is published again has another: what stands is never written over."""
    moment = f"~{published_at:%Y%m%dT%H%M%S%f}" if published_at else ""
    return f"{_as_name(run_id)}{moment}"


def new_history_file(lake: Path, table: str, as_of: str, run_id: str, published_at: datetime | None) -> Path:
    """Where one table of one publishing is written."""
    return history_dir(lake, table, as_of) / f"{history_stem(run_id, published_at)}.parquet"


def kept_history_file(lake: Path, table: str, as_of: str, run_id: str, published_at: datetime | None) -> Path:
    """Where one table of one publishing lies: earlier releases named it by its run alone."""
    file = new_history_file(lake, table, as_of, run_id, published_at)
    earlier = new_history_file(lake, table, as_of, run_id, None)
    return earlier if not file.exists() and earlier.exists() else file


def receipts_dir(lake: Path) -> Path:
    """Receipts of who was forgotten, `<pseudonym>.json`: the only place that still names them."""
    return lake / "erasure_receipts"


def run_dir(lake: Path, run_id: str) -> Path:
    """One run's reports: `<step>.json`, and its check page."""
    return lake / "runs" / _as_name(run_id)


def recommenders_dir(lake: Path) -> Path:
    """Trained recommenders: `versions/<name>/` (files and about.json), promotions, decisions, training."""
    return lake / "models" / "recommender"


def recommender_training_dir(lake: Path, as_of: str) -> Path:
    """One day's training: its checkpoints while it runs, and `challenger.json`, which names what came of it."""
    return recommenders_dir(lake) / "training" / f"as_of_date={as_of}"


def encoders_dir(lake: Path) -> Path:
    """Fine-tuned text encoders: `versions/<name>/` (model, about.json, model card), promotions, decisions."""
    return lake / "models" / "text_encoder"


def encoder_training_dir(lake: Path, as_of: str) -> Path:
    """One day's fine-tuning: its checkpoint while it runs, and `challenger.json`, which names what came of "
    "it.
    """
    return encoders_dir(lake) / "training" / f"as_of_date={as_of}"


def _as_name(run_id: str) -> str:
    return run_id.replace(":", "-").replace("/", "-")


def claim_file(lake: Path) -> Path:
    """Which run has the working files, and its last step (`qianmian/shop_lock.py`)."""
    return lake / "at_work.json"
