"""The swap: a new warehouse is built beside the one in place and takes its name in one rename.

A rename is what makes it atomic: whoever opens the name gets the old file or the new one, and whoever has the old
one open keeps it. Nothing here can leave a reader without a file: a publisher that dies leaves, at most, a hidden
file beside the warehouse, which the next one removes.
"""

from __future__ import annotations

import glob
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse.one_at_a_time import PATIENCE_S, one_at_a_time
from warehouse.projection import build_warehouse, count_all
from warehouse.runs import PipelineRun

log = logging.getLogger("qianmian")


@contextmanager
def only_publisher(warehouse: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock on a warehouse; the system frees it when the holder dies.

    Raises:
        ShopBusyError: another publisher held it for `patience_s` seconds.

    """
    with one_at_a_time(warehouse.with_name(f".{warehouse.name}.lock"), str(warehouse), patience_s):
        _remove_left_overs(warehouse)
        yield


def _remove_left_overs(warehouse: Path) -> None:
    """Delete what killed publishers left. Whoever holds the lock knows that none of it is in use."""
    for path in warehouse.parent.glob(f".{glob.escape(warehouse.name)}.*.tmp*"):
        log.info("left over by a publisher that was killed, removed: %s", path.name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def swap_in(warehouse: Path, lake: Path, runs: list[PipelineRun]) -> dict[str, int]:
    """Build a warehouse with these runs, check it through a fresh read-only connection, and put it in place.

    Call it under `only_publisher`.

    Returns:
        The rows of each table and view.

    Raises:
        StepError: the latest run's history is gone from the lake.

    """
    aside = warehouse.with_name(f".{warehouse.name}.{os.getpid()}.tmp")
    try:
        rows = build_warehouse(aside, lake, runs)
    except BaseException:
        _remove_left_overs(warehouse)  # on a full disk the half of it would be in the way of whatever is next
        raise
    if (seen := count_all(aside)) != rows:
        raise RuntimeError(f"the new warehouse reads back as {seen}, but {rows} rows were written")
    _sync(aside)
    # A program that has the old file open for writing leaves its log here; it does not belong to the new file.
    warehouse.with_name(f"{warehouse.name}.wal").unlink(missing_ok=True)
    os.replace(aside, warehouse)
    _sync(warehouse.parent)
    return rows


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
