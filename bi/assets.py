"""The dashboard's files (`bi/superset/`, Superset's own export format) made ready for one shop's database."""

from __future__ import annotations

import shutil
from pathlib import Path

from bi.datasets import ASSETS, read, write
from bi.source import Source


def write_for(source: Source, shop: str, folder: Path) -> None:
    """Write every file into `folder`, which is made anew, with the address and the schema of a shop's tables."""
    shutil.rmtree(folder, ignore_errors=True)
    for file in sorted(ASSETS.rglob("*.yaml")):
        asset = read(file)
        match file.parent.name:
            case "databases":
                asset |= {"database_name": f"Qianmian {shop}", "sqlalchemy_uri": source.uri}
            case "datasets":
                asset |= {"schema": source.schema}
        place = folder / file.relative_to(ASSETS)
        place.parent.mkdir(parents=True, exist_ok=True)
        write(place, asset)
