"""Trained recommenders in the lake, and which of them serves: the champion (see ml.registry)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.tables import recommenders_dir
from ml.registry import Registry, Saved
from qianmian.step import StepError

if TYPE_CHECKING:
    from ml.recommender.learned import LearnedModel

PREFIX = "learned"


@dataclass(frozen=True)
class Version:
    """A trained recommender as it lies in the lake.

    `text_version` says of which text model's vectors it was trained; `trained_before` is a time in days: it
    has seen no action from then on.
    """

    name: str
    folder: Path
    text_version: str
    trained_before: float
    about: dict[str, Any]


def recommenders(lake: Path) -> Registry:
    """Return the registry of a shop's recommenders."""
    return Registry(
        recommenders_dir(lake),
        "recommender",
        PREFIX,
        "The champion before it, or the blend, then serves; train anew: make train.",
    )


def _as_version(saved: Saved) -> Version:
    about = saved.about
    return Version(saved.name, saved.folder, about["text_version"], float(about["trained_before"]), about)


def save_version(
    lake: Path, as_of: str, write: Callable[[Path], None], text_version: str, trained_before: float, **about: Any
) -> Version:
    """Put a trained recommender in place, whole, and return it; the same content again is the same version.

    Args:
        lake: the shop's lake.
        as_of: day it was trained for.
        write: puts the model's files into the folder it is given.
        text_version: text model whose vectors it was trained on.
        trained_before: time in days, from which on it has seen nothing.
        about: what else is to be remembered of it.

    """
    known = {"text_version": text_version, "trained_before": trained_before, **about}
    return _as_version(recommenders(lake).save(as_of, write, [text_version, trained_before], **known))


def find_version(lake: Path, name: str) -> Version:
    """Return a version after checking that it is there, file by file.

    Raises:
        StepError: it is not, or not whole.

    """
    return _as_version(recommenders(lake).find(name))


def load_model(version: Version) -> LearnedModel:
    """Read the model into memory.

    Raises:
        StepError: its files are whole but cannot be read by this release.

    """
    from ml.recommender.learned import LearnedModel

    try:
        return LearnedModel.load(version.folder)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise StepError(
            f"The recommender {version.name} cannot be read: {type(error).__name__}: {str(error)[:300]}",
            "It may come from another release of this project: train anew (make train).",
        ) from error


def promote(lake: Path, as_of: str, name: str) -> None:
    """Make a version the champion from `as_of` on."""
    recommenders(lake).promote(as_of, name)


def champion(lake: Path, as_of: str) -> Version | None:
    """Return the recommender that serves on a day: the last one promoted up to it, None for the blend.

    Raises:
        StepError: it is not there, or not whole.

    """
    best = recommenders(lake).champion(as_of)
    return None if best is None else _as_version(best)


def record_decision(lake: Path, as_of: str, decision: dict[str, Any]) -> Path:
    """Keep what was decided about the day's challenger, and return where."""
    return recommenders(lake).record_decision(as_of, decision)


def last_decision(lake: Path, as_of: str) -> dict[str, Any] | None:
    """Return the last decision up to a day, None where there was none."""
    return recommenders(lake).last_decision(as_of)
