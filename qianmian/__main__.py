"""Qianmian on one machine: `python -m qianmian run|up|stop|status|logs` (behind `make`), and pseudonyms."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from qianmian import settings
from qianmian.local_airflow import LocalAirflow
from qianmian.run_daily import addresses, check_request, end_interrupted_runs, run_daily, show_result
from qianmian.step import EXIT_BAD_INPUT, StepError


def main(argv: list[str] | None = None) -> int:
    """Do what the command line asks; return 0 done, 1 failed, 2 a wrong value or a missing thing."""
    args = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        return int(args.command(args))
    except StepError as error:
        print(f"\nERROR: {error.what}\nWHAT TO DO: {error.remedy}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print(
            "\nStopped watching; Airflow goes on. `make status` looks at it, `make stop` stops it.",
            file=sys.stderr,
        )
        return 130


def run(args: argparse.Namespace) -> int:
    """Run the daily job once and show what came of it."""
    shop = settings.load(args.shop)
    source = check_request(shop, args.data, args.as_of)
    airflow = LocalAirflow(shop)
    if airflow.up():
        end_interrupted_runs(airflow)
    conf = {
        "shop": shop.shop,
        "as_of": args.as_of or None,
        "full_refresh": args.full_refresh,
        "source": source or None,
    }
    if not run_daily(airflow, conf):
        return 1
    show_result(airflow, shop)
    return 0


def up(args: argparse.Namespace) -> int:
    """Leave Airflow running on its daily schedule."""
    shop = settings.load_daily()
    airflow = LocalAirflow(shop)
    airflow.up(shop.schedule)
    print(
        f"Airflow is up; the shop {shop.shop} runs by the schedule {shop.schedule!r} (UTC), a missed day at once."
    )
    print("\n".join(addresses(airflow)))
    return 0


def stop(args: argparse.Namespace) -> int:
    """Stop Airflow, its PostgreSQL and every step under way."""
    print("stopped" if LocalAirflow(settings.load_daily()).stop() else "nothing was running")
    return 0


def status(args: argparse.Namespace) -> int:
    """Show what runs; the exit code is 0 if all of it does."""
    airflow = LocalAirflow(settings.load_daily())
    print("\n".join(airflow.status()))
    if not airflow.is_up():
        return 1
    print("\n".join(addresses(airflow)))
    return 0


def logs(args: argparse.Namespace) -> int:
    """Show the last lines of each process's log, and where the logs are."""
    airflow = LocalAirflow(settings.load_daily())
    for process in airflow.processes.values():
        print(f"==> {process.log_file}\n{process.log_tail(args.lines)}\n")
    print(f"==> {airflow.home.postgres.log_file}\nTasks' logs: {airflow.home.task_logs}")
    return 0


def pseudonym(args: argparse.Namespace) -> int:
    """Print the pseudonyms of the shop's user ids, so that the shop can join back to its own."""
    from spark_jobs.pseudonyms import Pseudonyms, read_key

    pseudonyms = Pseudonyms(read_key(settings.load_daily().pseudonym_key_file))
    for user_id in args.user_id:
        print(f"{user_id}\t{pseudonyms.of(user_id)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qianmian", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(command: Callable[[argparse.Namespace], int], name: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        added.set_defaults(command=command)
        return added

    running = add(run, "run")
    running.add_argument("--shop", default="simulated", help="shop to run for (default: %(default)s)")
    running.add_argument(
        "--data", default="", help="folder or s3://bucket/prefix with its data (default: settings)"
    )
    running.add_argument("--as-of", default="", help="day to run for, e.g. 2011-11-30 (default: settings)")
    running.add_argument(
        "--full-refresh", action="store_true", help="compute all days anew, not just changed ones"
    )
    add(up, "up")
    add(stop, "stop")
    add(status, "status")
    add(logs, "logs").add_argument("--lines", type=int, default=30, help="of each log (default: %(default)s)")
    add(pseudonym, "pseudonym").add_argument("user_id", nargs="+", help="the shop's own id")
    return parser


if __name__ == "__main__":
    sys.exit(main())
