"""The feeds folder an adapter fills: who filled it, from what, and files that appear whole or not at all.

    <feeds>/_prepared.json             adapter, its parameters, its report once it is through
    <feeds>/<feed>/<day>[-<part>].<ext>
    <feeds>/_set_aside/...             what an adapter leaves out by name; landing passes over names with "_"

A folder belongs to one adapter with one set of parameters. Filling it from another source would mix two shops'
rows under the same file names, and landed files never change: so that is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qianmian.step import StepError, write_atomically

RECORD = "_prepared.json"
SET_ASIDE = "_set_aside"


class PreparedFolder:
    """A feeds folder being filled by `adapter` with `parameters` (what its files are a function of)."""

    def __init__(self, root: Path, adapter: str, parameters: Mapping[str, Any]) -> None:
        self.root = root
        self.adapter = adapter
        self.parameters = dict(parameters)

    def claim(self) -> dict[str, Any] | None:
        """Take the folder, and return the report of a finished earlier filling, or None if there is none.

        Raises StepError if the folder was filled by something else.
        """
        for aside in self.root.glob("*/.*.tmp"):
            aside.unlink()  # left by a run that was killed while writing
        record = self._read_record()
        if record is None:
            if self.root.is_dir() and any(self.root.iterdir()):
                raise StepError(
                    f"{self.root} holds files but no {RECORD}: this adapter did not write them",
                    "give another folder; or, if these files are the shop's own feeds, use --adapter feeds",
                )
            self._write_record(None)
            return None
        was, now = (record["adapter"], record["parameters"]), (self.adapter, self.parameters)
        if was != now:
            raise StepError(
                f"{self.root} was filled by {was[0]} with {was[1]}; now it is {now[0]} with {now[1]}",
                "give another folder, or delete this one together with the lake that was made from it",
            )
        return record["report"]

    def write(self, path: str, content: bytes) -> None:
        """Put one file in place whole, at `<feed>/<name>`; the same bytes over the same bytes change nothing."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        aside.write_bytes(content)
        aside.replace(target)

    def finish(self, report: dict[str, Any]) -> None:
        """Record that the filling is through; landing may start earlier, on files that will not change."""
        self._write_record(report)

    def _read_record(self) -> dict[str, Any] | None:
        path = self.root / RECORD
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return {key: record[key] for key in ("adapter", "parameters", "report")}
        except (ValueError, KeyError, TypeError) as error:
            raise StepError(
                f"{path} cannot be read: {error}", "delete the folder, it is made again from the source"
            ) from error

    def _write_record(self, report: dict[str, Any] | None) -> None:
        record = {"adapter": self.adapter, "parameters": self.parameters, "report": report}
        write_atomically(self.root / RECORD, json.dumps(record, indent=2, ensure_ascii=False))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
