"""A lock on what is written by one program at a time: the system frees it when its holder dies."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qianmian.step import ShopBusyError

PATIENCE_S = 600.0

log = logging.getLogger("qianmian")


@contextmanager
def one_at_a_time(lock: Path, what: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold a lock, waiting for whoever has it.

    Args:
        lock: its file.
        what: what it is on, for people.
        patience_s: seconds to wait.

    Raises:
        ShopBusyError: another program did not let go of it: trying again may help.

    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        waiting_since = time.monotonic()
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - waiting_since > patience_s:
                    raise ShopBusyError(
                        f"Another program, publishing or forgetting, has held {what} for {patience_s:.0f} "
                        "seconds.",
                        "Let it end, or stop it, then run this step again.",
                    ) from None
                if not told:
                    log.info("another program is at work on %s: waiting for it", what)
                    told = True
                time.sleep(0.1)
        yield
