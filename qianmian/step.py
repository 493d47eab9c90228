"""What every step of the pipeline has in common: its arguments, its log, its report, its errors.

A step is a command, `python -m <package>.<step> --lake ... --as-of ... --run-id ...`, and Airflow only adds
when. It logs to stderr, leaves `<step>.json` (its counts, its seconds) in the run's folder, and ends with

    0  done
    2  the input or a setting is at fault: trying again is useless, and the log's last lines say what to do
    1  anything else (a lost machine, a full disk, another run at work, a defect): trying again may help

A step that writes waits its turn (`shop_lock.py`): one run at a time works on a shop.

This module is a leaf: it imports nothing of the project but the tables' places and that lock.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from expectations.tables import run_dir

EXIT_BAD_INPUT = 2
BY_HAND = "by_hand"

log = logging.getLogger("qianmian")


class StepError(Exception):
    """The input or a setting is at fault. `what` names file and row where it can, `remedy` says what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class ShopBusyError(StepError):
    """Another program is at work on the shop, or on a target, and did not end in time: trying again may help."""


def iso_date(text: str) -> str:
    """Check a day for argparse: `2011-11-30` comes back, anything else is refused."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2011-11-30") from None


def step_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every step takes: --lake, --as-of, --run-id."""
    parser = argparse.ArgumentParser(
        description=(description or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", type=Path, required=True, help="the shop's lake, e.g. var/simulated/lake")
    parser.add_argument("--as-of", type=iso_date, required=True, help="day the run works for, e.g. 2011-11-30")
    parser.add_argument("--run-id", default=BY_HAND, help="name of the run (default: %(default)s)")
    return parser


def run_step(
    name: str,
    main: Callable[[argparse.Namespace], dict[str, Any] | None],
    parser: argparse.ArgumentParser,
    argv: list[str] | None = None,
) -> None:
    """Run `main`, write its report to the run's folder as `<name>.json`, and exit with the right code."""
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    started = time.monotonic()
    try:
        from qianmian import shop_lock  # which imports this module

        with shop_lock.turn(args.lake, args.as_of, args.run_id, name):
            report = main(args) or {}
        report["seconds"] = round(time.monotonic() - started, 2)
        report["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        write_report(args.lake, args.run_id, name, report)
    except StepError as error:
        print(f"\nERROR in {name}: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr, flush=True)
        sys.exit(1 if isinstance(error, ShopBusyError) else EXIT_BAD_INPUT)
    except Exception as error:
        # The person on call reads the last lines first; the trace stands above them for whoever mends it.
        traceback.print_exc()
        what, remedy = _explained(error, args.lake)
        print(f"\nERROR in {name}: {what}\nWHAT TO DO: {remedy}", file=sys.stderr, flush=True)
        sys.exit(1)
    log.info("%s done in %.1f s", name, report["seconds"])


def _explained(error: BaseException, lake: Path) -> tuple[str, str]:
    """Say what an unforeseen error is and what to do about it."""
    text = f"{type(error).__name__}: {str(error)[:2000]}"
    if not is_disk_full(error):
        return text, "run it again; if it stops here again, it is a defect: report it with the trace above."
    free = [f"{shutil.disk_usage(at).free / 2**20:,.0f} MiB at {at}" for at in (lake, Path(tempfile.gettempdir()))]
    return (
        f"A disk is full. Free now: {', '.join(free)}. {text}",
        "make room on the disk that is full, then run it again. What was published before stays in place; nothing "
        "half written was left.",
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one behind it, says that a disk has no room left: ours, Spark's, DuckDB's."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_report(lake: Path, run_id: str, step: str, report: dict[str, Any]) -> None:
    """Leave a step's report in the run's folder."""
    write_atomically(run_dir(lake, run_id) / f"{step}.json", json.dumps(report, indent=2, default=str))


def read_reports(lake: Path, run_id: str) -> dict[str, dict[str, Any]]:
    """Read the reports that the run's steps have left so far, by step."""
    return {p.stem: json.loads(p.read_text()) for p in sorted(run_dir(lake, run_id).glob("*.json"))}


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put a small file in place whole: a reader, or a run after a kill, sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)  # on a full disk it would be in its own way
        raise
