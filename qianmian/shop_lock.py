"""One run at a time works on a shop: whose the lake's working files are, and who is at work on them.

The steps of a run hand on files that have one place in a lake (`features.duckdb`, a day's `outputs/`), and each
step is a process of its own. Two things keep another run's steps from coming in between (decision 16):

    <lake>/.at_work.lock   flock, held while a step writes: the system frees it when the step dies, however it does
    <lake>/at_work.json    the claim: which run has the working files, its last step, and whether it is over

A run claims the shop with one of its first steps, once the run before it is over or nothing was heard of it for
`IDLE_S`. A later step works on for the run that has the claim and refuses for any other, so that a run which was
left behind never goes on with files that are not its own. Training, targets and rollback hold neither: they write
elsewhere.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from expectations.tables import claim_file
from qianmian.step import BY_HAND, ShopBusyError, StepError, step_parser, write_atomically

log = logging.getLogger("qianmian")

#: A run starts over with any of these: they read what was handed over, and nothing that another step of it left.
BEGINS = frozenset(
    (
        *("prepare", "land", "clean", "check_clean"),
        *("forget_users", "close_receipts", "apply_retention"),
    )
)
#: They go on from what the steps before left in the working files.
CONTINUES = frozenset(
    (
        *("build_features", "embed_items", "portray", "recommend_home", "lay_out_pages", "evaluate_home"),
        *("build_tables", "check_tables"),
    )
)
#: After them the run needs its working files no more. Publishing proves by every row whose the tables are.
ENDS = frozenset(("publish", "apply_retention"))
#: Another step of the run follows them even where they refuse: the run is not over yet.
_FOLLOWED = frozenset(("forget_users", "close_receipts"))

#: A run whose last step ended that long ago has been left: longer than Airflow needs from a task to its next try.
IDLE_S = 60.0
#: That long a run waits for another before it refuses.
PATIENCE_S = 600.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Claim:
    """Whose the working files are. Times are UTC, ISO 8601; `is_over` says that the run needs them no more."""

    run_id: str
    as_of: str
    step: str
    pid: int
    since: str
    changed_at: str
    is_over: bool = False

    def is_of(self, run_id: str, as_of: str) -> bool:
        """Tell whether it is this run's."""
        return (self.run_id, self.as_of) == (run_id, as_of)

    def idle_s(self) -> float:
        """Seconds since its run last began or ended a step."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.changed_at)).total_seconds()

    def __str__(self) -> str:
        """Say who it is."""
        return f"run {self.run_id} of {self.as_of} (step {self.step}, process {self.pid}, since {self.since})"


def read_claim(lake: Path) -> Claim | None:
    """Return the claim that stands; None where no run has been there yet."""
    file = claim_file(lake)
    return Claim(**json.loads(file.read_text())) if file.exists() else None


def turn(lake: Path, as_of: str, run_id: str, step: str) -> AbstractContextManager[object]:
    """Return what a step works under: `at_work` where working files are its matter, else nothing."""
    if step in BEGINS | CONTINUES | ENDS:
        return at_work(lake, as_of, run_id, step)
    return nullcontext()


@contextmanager
def at_work(
    lake: Path, as_of: str, run_id: str, step: str, patience_s: float = PATIENCE_S, idle_s: float = IDLE_S
) -> Iterator[TextIO]:
    """Hold the shop for one step of a run.

    Args:
        lake: the shop's lake, on a file system that knows flock.
        as_of: day of the run.
        run_id: name of the run.
        step: name of the step; decides whether it may begin a run.
        patience_s: seconds to wait for another run.
        idle_s: seconds without a step after which another run has been left.

    Yields:
        The locked file: whoever inherits it holds the shop as well.

    Raises:
        ShopBusyError: another run is at work and does not end.
        StepError: another run has taken the working files over.

    """
    file = claim_file(lake)
    file.parent.mkdir(parents=True, exist_ok=True)
    with (file.parent / ".at_work.lock").open("a") as lock:
        _take_turn(lock, lake, as_of, run_id, step, patience_s, idle_s)
        held = read_claim(lake)
        mine = held is None or held.is_of(run_id, as_of)
        if not (mine or step in BEGINS or step in CONTINUES):
            yield lock  # it publishes tables that say themselves whose they are: the claim stays the other run's
            return
        since = held.since if held and mine and not held.is_over else _now()
        claim = Claim(run_id, as_of, step, os.getpid(), since, _now())
        _write(lake, claim)
        over = False
        try:
            yield lock
            over = step in ENDS
        except ShopBusyError:
            raise  # it is tried again
        except StepError:
            over = step not in _FOLLOWED
            raise
        finally:
            try:
                _write(lake, replace(claim, changed_at=_now(), is_over=over))
            except OSError as error:  # a full disk: what the step says of it counts
                log.warning("%s could not be brought up to date: %s", claim_file(lake), error)


def _take_turn(
    lock: TextIO, lake: Path, as_of: str, run_id: str, step: str, patience_s: float, idle_s: float
) -> None:
    """Return with the lock held, at a moment when this step may work.

    Raises:
        ShopBusyError: that moment does not come.
        StepError: nor will it, for this run.

    """
    waiting_since = time.monotonic()
    seen: str | None = None
    heard_at = 0.0  # of the other run, in seconds of this wait; its own clock counts only for the time before
    told = False
    while True:
        waited = time.monotonic() - waiting_since
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_free = False
        else:
            is_free = True
        held = read_claim(lake)
        if is_free and (held is None or held.is_of(run_id, as_of) or step not in BEGINS | CONTINUES):
            return
        if held and held.changed_at != seen:
            heard_at = waited if seen else -max(0.0, held.idle_s())
            seen = held.changed_at
        if is_free and held:
            is_left = held.is_over or waited - heard_at >= idle_s
            by_hand_on_its_day = run_id == BY_HAND and held.as_of == as_of
            if is_left and (step in BEGINS or by_hand_on_its_day):
                if not held.is_over:
                    log.warning("%s is left unfinished: this run takes the shop over", held)
                return
            fcntl.flock(lock, fcntl.LOCK_UN)
            if step in CONTINUES and not by_hand_on_its_day:
                raise StepError(
                    f"The shop's working files are those of {held}, no longer of this run, {run_id} of {as_of}.",
                    "Let that run end; then start this one from its first step (in Airflow: clear all its tasks).",
                )
        else:
            heard_at = waited
        who = held or "another step"
        if waited > patience_s:
            raise ShopBusyError(
                f"The shop is at work for {who}; this run, {run_id} of {as_of}, waited {waited:.0f} seconds.",
                "Let it end, or stop it (in Airflow: mark the run as failed); then start this run again.",
            )
        if not told:
            log.info("the shop is at work for %s: waiting for it", who)
            told = True
        time.sleep(_POLL_S)


def _write(lake: Path, claim: Claim) -> None:
    write_atomically(claim_file(lake), json.dumps(asdict(claim), indent=2))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def main(argv: list[str] | None = None) -> None:
    """Run another program's command as a step of a run: `... --step build_features -- dbt build ...`.

    Its exit code is passed on. Where the shop is another run's, it is 1, which dbt's tasks do not try again.
    """
    parser = step_parser(main.__doc__)
    parser.add_argument("--step", required=True, choices=sorted(BEGINS | CONTINUES), help="the step's name")
    parser.add_argument("command", nargs="+", help="the command, after --")
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with at_work(args.lake, args.as_of, args.run_id, args.step) as lock:
            code = subprocess.run(args.command, pass_fds=(lock.fileno(),), check=False).returncode
    except StepError as error:
        print(f"\nERROR in {args.step}: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr, flush=True)
        code = 1
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
