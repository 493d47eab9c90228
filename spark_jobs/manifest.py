"""A clean table's manifest: which files stand. Replacing it is the commit (docs/architecture.md).

Beside what every reader needs, `partitions`, it holds what the next cleaning needs: `inputs` (each landed
file's checksum, partitions and counts), `depends_on` (the entity files that the verdicts rest on), the
fingerprint of the pseudonyms' key and a hash of the columns that all files have.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from expectations.tables import CLEAN
from qianmian.step import StepError, write_atomically

NAME = "_manifest.json"


@dataclass
class Manifest:
    """One clean table's manifest; the shapes of `partitions` and `inputs` stand in docs/architecture.md."""

    table: str
    partition: str
    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    depends_on: dict[str, str] = field(default_factory=dict)
    pseudonym_key: str = ""
    columns_hash: str = ""

    def files(self, folder: Path) -> list[str]:
        """Paths of all files that stand, below the table's `folder`."""
        return [str(folder / name) for part in self.partitions.values() for name in part["files"]]

    def checksums(self) -> dict[str, str]:
        """The input files' checksums, by path."""
        return {path: entry["sha256"] for path, entry in self.inputs.items()}


def columns_hash(table: str) -> str:
    """Hash the columns of a clean table, names and types: of another one's files everything is cleaned again."""
    return sha256(
        json.dumps([[column.name, column.type] for column in CLEAN[table].columns]).encode()
    ).hexdigest()[:16]


def read_manifest(folder: Path, table: str, partition: str) -> Manifest:
    """Read the manifest in a table's folder; without one, an empty one. Raises StepError where it is broken."""
    path = folder / NAME
    if not path.exists():
        return Manifest(table, partition)
    try:
        return Manifest(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise StepError(
            f"{path} cannot be read: {error}", f"Delete the folder {folder} and clean again with --full-refresh."
        ) from error


def commit(folder: Path, manifest: Manifest) -> None:
    """Make the manifest stand, then delete every file that it does not name."""
    write_atomically(folder / NAME, json.dumps(asdict(manifest), ensure_ascii=False, sort_keys=True))
    named = set(manifest.files(folder))
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder comes before it
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path != folder / NAME and str(path) not in named:
            path.unlink()
