"""What MLflow keeps of a training: parameters, curves, figures and files, in one SQLite file; no server runs.

One experiment a shop, one run a training; a training that goes on after an interruption goes on in its run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def store_uri(mlflow_home: Path) -> str:
    """Return MLflow's address of the store below a folder."""
    return f"sqlite:///{mlflow_home.resolve() / 'mlflow.db'}"


class TrackedRun:
    """One run of MLflow, open."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Keep parameters; the same again changes nothing."""
        import mlflow

        mlflow.log_params({name: str(value)[:500] for name, value in values.items()})

    def figure(self, name: str, value: float, step: int = 0) -> None:
        """Keep one point of a curve."""
        import mlflow

        mlflow.log_metric(name, value, step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """Keep what names the run."""
        import mlflow

        mlflow.set_tags({name: value[:5000] for name, value in values.items()})

    def file(self, path: Path) -> None:
        """Keep a copy of a file."""
        import mlflow

        mlflow.log_artifact(str(path))


@contextmanager
def tracked_run(mlflow_home: Path, shop: str, name: str, remembered: Path) -> Iterator[TrackedRun]:
    """Open a run, or the one whose id `remembered` holds, and close it as finished or failed.

    Args:
        mlflow_home: folder of the store and its artefacts.
        shop: name of the experiment.
        name: of the run.
        remembered: file that keeps the run's id for whoever goes on with it.

    """
    # Whoever runs this has not agreed to be counted.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    mlflow_home.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(store_uri(mlflow_home))
    known = mlflow.get_experiment_by_name(shop)
    artifacts = (mlflow_home.resolve() / "artifacts" / shop).as_uri()
    experiment = known.experiment_id if known else mlflow.create_experiment(shop, artifact_location=artifacts)
    run_id = remembered.read_text().strip() if remembered.is_file() else None
    if run_id is not None and not mlflow.search_runs(
        [experiment], f"attributes.run_id = '{run_id}'", output_format="list"
    ):
        run_id = None  # the store was deleted since
    with mlflow.start_run(run_id=run_id, experiment_id=experiment, run_name=None if run_id else name) as run:
        remembered.parent.mkdir(parents=True, exist_ok=True)
        remembered.write_text(run.info.run_id)
        yield TrackedRun(run.info.run_id)
