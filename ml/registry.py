"""Trained models in the lake, and which of them is the champion.

A version is a folder named by its training day and the checksum of its content, written aside and put in place by
one rename. A promotion is one small file a day, so the champion of a past day stays what it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qianmian.step import StepError, write_atomically

ABOUT = "about.json"
#: Words about a model are not the model: they may be written anew.
CARD = "README.md"


@dataclass(frozen=True)
class Saved:
    """A version as it lies in the lake; `about` is what is remembered of it."""

    name: str
    folder: Path
    about: dict[str, Any]


def checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each of a model's files by its path in `folder`."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (ABOUT, CARD)):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _days_up_to(folder: Path, as_of: str) -> list[Path]:
    """Return the files of days up to `as_of`, oldest first."""
    return sorted(path for path in folder.glob("[0-9]*.json") if path.stem <= as_of)


@dataclass(frozen=True)
class Registry:
    """All versions of one kind of model.

    `home` holds versions/, promotions/ and decisions/; `kind` is what a person calls such a model, `prefix` how
    its versions' names begin, `remedy` what to do when the champion is broken.
    """

    home: Path
    kind: str
    prefix: str
    remedy: str

    def save(self, as_of: str, write: Callable[[Path], None], identity: Any = None, **about: Any) -> Saved:
        """Put a model in place, whole, and return it; the same content again is the same version.

        Args:
            as_of: day it was trained for.
            write: puts the model's files into the folder it is given.
            identity: what else than its files makes it another version.
            about: what is to be remembered of it.

        """
        aside = self.home / "versions" / f".{as_of}.{os.getpid()}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            write(aside)
            files = checksums(aside)
            content = json.dumps([files, identity], sort_keys=True)
            name = f"{self.prefix}-{as_of}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
            write_atomically(aside / ABOUT, json.dumps({**about, "files": files}, indent=2, default=str))
            folder = self.home / "versions" / name
            if folder.exists():  # the same content, or the torn remains of it
                shutil.rmtree(folder)
            aside.replace(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self.find(name)

    def find(self, name: str) -> Saved:
        """Return a version after checking that it is there, file by file.

        Raises:
            StepError: it is not, or not whole.

        """
        folder = self.home / "versions" / name
        try:
            about = json.loads((folder / ABOUT).read_text())
            if checksums(folder) == about["files"]:
                return Saved(name, folder, about)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise StepError(
            f"The {self.kind} {name} is not whole: {folder} lacks files, or they are not what was saved.",
            f"Bring the folder back from a backup, or delete {self.home / 'promotions'}/<day>.json of the days "
            f"that name it. {self.remedy}",
        )

    def promote(self, as_of: str, name: str) -> None:
        """Make a version the champion from `as_of` on."""
        content = json.dumps({"version": self.find(name).name})
        write_atomically(self.home / "promotions" / f"{as_of}.json", content)

    def champion(self, as_of: str) -> Saved | None:
        """Return the champion of a day: the last one promoted up to it, None where there was none.

        Raises:
            StepError: it is not there, or not whole.

        """
        promotions = _days_up_to(self.home / "promotions", as_of)
        if not promotions:
            return None
        try:
            name = str(json.loads(promotions[-1].read_text())["version"])
        except (ValueError, KeyError, TypeError):
            raise StepError(
                f"{promotions[-1]} does not name a {self.kind}.", f"Delete it. {self.remedy}"
            ) from None
        return self.find(name)

    def record_decision(self, as_of: str, decision: dict[str, Any]) -> Path:
        """Keep what was decided about the day's challenger, and return where."""
        path = self.home / "decisions" / f"{as_of}.json"
        write_atomically(path, json.dumps(decision, indent=2, ensure_ascii=False, default=str))
        return path

    def last_decision(self, as_of: str) -> dict[str, Any] | None:
        """Return the last decision up to a day, None where there was none."""
        decisions = _days_up_to(self.home / "decisions", as_of)
        return dict(json.loads(decisions[-1].read_text())) if decisions else None
