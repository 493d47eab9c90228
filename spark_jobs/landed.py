"""What lies in the landing zone, and which of it has to be cleaned (again)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from expectations.tables import day_in, landing_dir
from qianmian.step import StepError

#: Day of a state feed's file without a day in its path: known from the beginning.
ALWAYS = date(1970, 1, 1)


@dataclass(frozen=True)
class Landed:
    """One landed file: `path` is `<feed>/<path in it>`, `day` the last day named in the path, if any."""

    path: str
    size: int
    sha256: str

    @property
    def feed(self) -> str:
        """The feed it belongs to."""
        return self.path.split("/", 1)[0]

    @property
    def day(self) -> date | None:
        """The day it arrived on, as its path says; None: undated."""
        return day_in(self.path)


def read_landing(lake: Path) -> dict[str, Landed]:
    """Read landing's journal: what has landed, by path. Raises StepError where a landed file is gone."""
    landing = landing_dir(lake)
    journal = landing / "manifest.jsonl"
    if not journal.exists():
        raise StepError(f"Nothing has landed yet in {landing}.", "Run `python -m feeds.land` first.")
    landed: dict[str, Landed] = {}
    for line in journal.read_bytes().split(b"\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # torn by a kill: the file was landed again, or will be
        if entry.get("emptied"):
            landed.pop(entry["path"], None)  # all its rows were of users who are forgotten
        else:
            landed[entry["path"]] = Landed(entry["path"], entry["size"], entry["sha256"])
    for file in landed.values():
        path = landing / file.path
        if not path.is_file() or path.stat().st_size != file.size:
            raise StepError(
                f"{path} is not there as it landed.", "Run `python -m feeds.land` again: it brings the file back."
            )
    return dict(sorted(landed.items()))


@dataclass(frozen=True)
class Work:
    """What one feed needs: files to `read`, inputs whose rows are `kept`, all of which arrived before `since`."""

    read: tuple[Landed, ...]
    kept: dict[str, dict[str, Any]]
    since: date
    is_stale: bool


def changed_since(current: Mapping[str, str], known: Mapping[str, str]) -> date | None:
    """Return the first day from which files' checksums differ from the known ones (by path); None: nowhere.

    Undated files are known from the beginning, so a change in one means everything: `date.min`.
    """
    changed = [path for path in {**known, **current} if known.get(path) != current.get(path)]
    return min((day_in(path) or date.min for path in changed), default=None)


def plan(files: Sequence[Landed], inputs: Mapping[str, dict[str, Any]], since: date | None) -> Work:
    """Split a feed's files into those to read and those whose rows are kept.

    What a row is worth depends on nothing that arrived after it. So a change in what arrived on a day can
    touch rows from that day on and none before: the files that brought such rows are read again.
    """
    if since is None:
        return Work((), dict(inputs), date.max, is_stale=False)
    kept = {
        file.path: inputs[file.path]
        for file in files
        if file.path in inputs and inputs[file.path]["arrived_through"] < since.isoformat()
    }
    read = tuple(file for file in files if file.path not in kept)
    if kept and any(file.day is None for file in read):
        return plan(files, inputs, date.min)  # an undated file's rows arrived on many days
    return Work(read, kept, since, is_stale=bool(read) or kept.keys() != inputs.keys())
