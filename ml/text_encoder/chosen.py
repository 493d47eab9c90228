"""Which text model a day works with, so that vectors, recommender and lists always fit together.

    every day    the model that the serving recommender was trained on
    training     the champion among the fine-tuned encoders, or the model of the settings

A new model, fine-tuned or set by hand, therefore encodes the catalogue beside the old one, in the training; the
day switches to it when a recommender trained on it is promoted, and everything is encoded by then. Where no
recommender is promoted, the blend reads any vectors: the day works with what a training would take.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ml.recommender.champion import champion
from ml.text_encoder import models, store
from ml.text_encoder.fine_tuning.registry import encoders, unseen_from
from qianmian.step import StepError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextModel:
    """A text model by the name it is known by, and where it lies."""

    name: str
    folder: Path


def for_training(lake: Path, as_of: str, setting: str) -> TextModel:
    """Return the champion among the encoders that were fine-tuned from the model of the settings, or that model.

    Args:
        lake: the shop's lake.
        as_of: the day.
        setting: name or path of the model of the settings.

    Raises:
        StepError: the model is not to be had, or the champion is not whole.

    """
    base = TextModel(setting, models.locate(setting))
    best = encoders(lake).champion(as_of)
    if best is None or best.about["base_version"] != models.version_of(base.name, base.folder):
        return base
    return TextModel(best.name, best.folder)


def for_day(lake: Path, as_of: str, setting: str) -> TextModel:
    """Return the model that the day's champion recommender reads, where it can be had; else as `for_training`.

    Raises:
        StepError: as `for_training`; the champion recommender is not whole.

    """
    serving = champion(lake, as_of)
    if serving is not None:
        found = made(lake, serving.text_version)
        if found is not None:
            return found
        log.warning(
            "the text model behind %s, which the recommender %s reads, is not to be had any more",
            serving.text_version, serving.name,
        )  # fmt: skip
    return for_training(lake, as_of, setting)


def made(lake: Path, vectors_version: str) -> TextModel | None:
    """Return the model that made vectors of a version, None where it is gone or has changed."""
    name = store.read_source(lake, vectors_version)
    if name is None:
        return None
    try:
        if is_tuned(lake, name):
            found = TextModel(name, encoders(lake).find(name).folder)
        else:
            found = TextModel(name, models.locate(name))
        base = models.version_of(found.name, found.folder)
    except StepError:
        return None
    return found if vectors_version == base or vectors_version.startswith(f"{base}-") else None


def is_tuned(lake: Path, name: str) -> bool:
    """Whether a model's name is a fine-tuned version's; one with a folder in it is a path."""
    return Path(name).name == name and (encoders(lake).home / "versions" / name).is_dir()


def vectors_unseen_from(lake: Path, vectors_version: str) -> date | None:
    """Return the first day of which the model behind vectors has seen nothing; None: it saw nothing of the shop.

    Raises:
        StepError: the model is a fine-tuned version that is not whole.

    """
    name = store.read_source(lake, vectors_version)
    return unseen_from(encoders(lake).find(name)) if name is not None and is_tuned(lake, name) else None
