"""Trained recommenders in the lake, and which of them serves: the champion.

A version is a folder named by its training day and the checksum of its content, written aside and put in
place by one rename. A promotion is one small file a day, so the champion of a past day stays what it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.tables import promotion_decisions_dir, promotions_dir, recommender_version_dir
from qianmian.step import StepError, write_atomically

if TYPE_CHECKING:
    from ml.recommender.learned import LearnedModel

ABOUT = "about.json"
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


def _checksums(folder: Path) -> dict[str, str]:
    """Return each file's SHA-256 by its path in `folder`."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != ABOUT):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


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
    aside = recommender_version_dir(lake, f".{as_of}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        write(aside)
        files = _checksums(aside)
        content = json.dumps([files, text_version, trained_before], sort_keys=True)
        name = f"{PREFIX}-{as_of}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
        known = {"text_version": text_version, "trained_before": trained_before, "files": files, **about}
        write_atomically(aside / ABOUT, json.dumps(known, indent=2, default=str))
        folder = recommender_version_dir(lake, name)
        if folder.exists():  # the same content, or the torn remains of it
            shutil.rmtree(folder)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return find_version(lake, name)


def find_version(lake: Path, name: str) -> Version:
    """Return a version after checking that it is there, file by file.

    Raises:
        StepError: it is not, or not whole.

    """
    folder = recommender_version_dir(lake, name)
    try:
        about = json.loads((folder / ABOUT).read_text())
        whole = _checksums(folder) == about["files"]
        version = Version(name, folder, about["text_version"], float(about["trained_before"]), about)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise StepError(
            f"The recommender {name} is not whole: {folder} lacks files, or they are not what was saved.",
            f"Bring the folder back from a backup, or delete {promotions_dir(lake)}/<day>.json of the days that "
            "name it (the champion before it, or the blend, then serves) and train anew: make train.",
        )
    return version


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
    write_atomically(
        promotions_dir(lake) / f"{as_of}.json", json.dumps({"version": find_version(lake, name).name})
    )


def _days_up_to(folder: Path, as_of: str) -> list[Path]:
    """Return the files of days up to `as_of`, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*.json") if path.stem <= as_of)


def champion(lake: Path, as_of: str) -> Version | None:
    """Return the recommender that serves on a day: the last one promoted up to it, None for the blend.

    Raises:
        StepError: it is not there, or not whole.

    """
    promotions = _days_up_to(promotions_dir(lake), as_of)
    if not promotions:
        return None
    try:
        name = str(json.loads(promotions[-1].read_text())["version"])
    except (ValueError, KeyError, TypeError):
        raise StepError(
            f"{promotions[-1]} does not name a recommender.",
            "Delete it: the champion before it, or the blend, then serves. Then train anew: make train.",
        ) from None
    return find_version(lake, name)


def record_decision(lake: Path, as_of: str, decision: dict[str, Any]) -> Path:
    """Keep what was decided about the day's challenger, and return where."""
    path = promotion_decisions_dir(lake) / f"{as_of}.json"
    write_atomically(path, json.dumps(decision, indent=2, ensure_ascii=False, default=str))
    return path


def last_decision(lake: Path, as_of: str) -> dict[str, Any] | None:
    """Return the last decision up to a day, None where there was none."""
    decisions = _days_up_to(promotion_decisions_dir(lake), as_of)
    return dict(json.loads(decisions[-1].read_text())) if decisions else None
