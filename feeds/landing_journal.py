"""The journal of landing: `landing/manifest.jsonl`, one line for each file landed.

A line is appended, and on disk, only after its file is whole and in place. The last line for a path stands;
a line torn by a kill is not counted, so its file is landed again.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandedFile:
    """One line: `path` is `<feed>/<path in it>`, `stamp` tells by what the source file was recognised.

    `emptied`: all of its rows were of users who are forgotten; it does not lie here, and is not landed again.
    """

    path: str
    size: int
    sha256: str
    stamp: str
    run_id: str
    emptied: bool = False


class Journal:
    """What has landed so far, by path; `append` makes one more file part of it, durably."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.files: dict[str, LandedFile] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        content = self._path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        for line in whole.splitlines():
            try:
                landed = LandedFile(**json.loads(line))
            except (ValueError, TypeError):
                # A torn line that a later append has ended: its file was landed again further down.
                continue
            self.files[landed.path] = landed
        if torn:
            log.warning("The last line of %s was torn by a kill; its file is landed again.", self._path)
            with self._path.open("ab") as file:
                file.write(b"\n")

    def append(self, landed: LandedFile) -> None:
        """Record a landed file; once this returns, a kill does not lose it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            line = {name: value for name, value in asdict(landed).items() if name != "emptied" or value}
            file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.files[landed.path] = landed
