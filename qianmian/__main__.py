"""Qianmian on one machine, behind `make`: `python -m qianmian run|train|rollback|forget|mlflow|up|stop|...`."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime

from expectations.tables import receipts_dir
from qianmian import settings
from qianmian.backfill import backfill as run_days
from qianmian.local_airflow import DAG_ID, FORGETTING_DAG_ID, TRAINING_DAG_ID, LocalAirflow
from qianmian.run_dag import (
    addresses,
    check_day,
    check_request,
    end_interrupted_runs,
    run_dag,
    show_decision,
    show_result,
)
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
    if run_dag(airflow, DAG_ID, conf) is None:
        return 1
    show_result(airflow, shop)
    return 0


def backfill(args: argparse.Namespace) -> int:
    """Run a range of past days, one after the other, by Airflow's own backfill; done days are left as they are."""
    shop, daily = settings.load(args.shop), settings.load_daily()
    for day in (args.first, args.last):
        check_day(day)
    if not (args.first and args.last):
        raise StepError("No range of days is given.", "make backfill FROM=2026-10-01 TO=2026-10-31 [SHOP=...]")
    check_request(shop, "", args.first)
    if not daily.schedule:
        raise StepError(
            "The daily job has no schedule, and Airflow backfills by the schedule's moments.",
            "Set schedule in qianmian.toml (or QIANMIAN_SCHEDULE), for example 0 2 * * *.",
        )
    first, last = date.fromisoformat(args.first), date.fromisoformat(args.last)
    if first > last:
        raise StepError(f"FROM={first} is later than TO={last}.", "Give the earlier day as FROM.")
    airflow = LocalAirflow(daily)
    airflow.up(daily.schedule)
    states = run_days(airflow, shop.shop, first, last, again=args.again)
    print(f"Airflow stays up on its schedule {daily.schedule!r} (UTC).\n" + "\n".join(addresses(airflow)))
    return int("failed" in states.values())


def train(args: argparse.Namespace) -> int:
    """Train a recommender for a day that `run` has been there for, and promote it if it wins."""
    shop = settings.load(args.shop)
    check_day(args.as_of)
    airflow = LocalAirflow(shop)
    if airflow.up():
        end_interrupted_runs(airflow)
    run_id = run_dag(airflow, TRAINING_DAG_ID, {"shop": shop.shop, "as_of": args.as_of or None})
    if run_id is None:
        return 1
    show_decision(airflow, run_id)
    return 0


def forget(args: argparse.Namespace) -> int:
    """Forget the users whose requests have landed, everywhere, and delete what was kept long enough."""
    shop = settings.load(args.shop)
    check_day(args.as_of)
    airflow = LocalAirflow(shop)
    if airflow.up():
        end_interrupted_runs(airflow)
    if run_dag(airflow, FORGETTING_DAG_ID, {"shop": shop.shop, "as_of": args.as_of or None}) is None:
        return 1
    print(f"\nReceipts    {receipts_dir(shop.lake)}\n" + "\n".join(addresses(airflow)))
    return 0


def rollback(args: argparse.Namespace) -> int:
    """Put the set of tables before the latest back: in the warehouse, and in PostgreSQL and S3 where set."""
    shop = settings.load(args.shop)
    lake = [f"--lake={shop.lake}", f"--warehouse={shop.warehouse}"]
    steps = [["warehouse.rollback", *lake, f"--why={args.why}"]]
    day = [*lake, f"--as-of={datetime.now(UTC).date()}"]
    if shop.postgres_target:
        where = [f"--address={shop.postgres_target}", f"--schema={shop.postgres_schema}"]
        steps.append(["warehouse.targets.postgres", *day, *where, f"--reader-role={shop.postgres_reader_role}"])
    if shop.s3_target:
        where = [f"--to={shop.s3_target}", f"--endpoint-url={shop.s3_endpoint_url}"]
        steps.append(["warehouse.targets.s3", *day, *where])
    codes = []
    for step in steps:
        codes.append(subprocess.run([sys.executable, "-m", *step], cwd=settings.ROOT).returncode)
        if codes[0]:
            break
    return max(codes)


def mlflow(args: argparse.Namespace) -> int:
    """Serve MLflow's pages of all trainings, until Ctrl-C."""
    home = settings.load_daily().mlflow_home
    if not (home / "mlflow.db").is_file():
        raise StepError(f"{home} holds no trainings yet.", "Train first: make train.")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow.db'}",
        "--workers",
        "1",
    ]
    environ = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return subprocess.run([*command, "--host", "127.0.0.1", "--port", str(args.port)], env=environ).returncode


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
    from spark_jobs.pseudonyms import Pseudonyms, existing_key

    pseudonyms = Pseudonyms(existing_key(settings.load_daily().pseudonym_key_file))
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
    days = add(backfill, "backfill")
    days.add_argument("--shop", default="simulated", help="shop to run for (default: %(default)s)")
    days.add_argument("--from", dest="first", default="", help="first day, e.g. 2026-10-01")
    days.add_argument("--to", dest="last", default="", help="last day")
    days.add_argument("--again", action="store_true", help="run days that have succeeded once more")
    training = add(train, "train")
    training.add_argument("--shop", default="simulated", help="shop to train for (default: %(default)s)")
    training.add_argument("--as-of", default="", help="day to train for, e.g. 2011-11-30 (default: settings)")
    back = add(rollback, "rollback")
    back.add_argument("--shop", default="simulated", help="shop to go back for (default: %(default)s)")
    back.add_argument("--why", default="by hand", help="what pipeline_runs says (default: %(default)s)")
    forgetting = add(forget, "forget")
    forgetting.add_argument("--shop", default="simulated", help="shop to forget for (default: %(default)s)")
    forgetting.add_argument("--as-of", default="", help="day whose requests count (default: settings)")
    pages = add(mlflow, "mlflow")
    pages.add_argument("--port", type=int, default=5000, help="of the pages (default: %(default)s)")
    add(up, "up")
    add(stop, "stop")
    add(status, "status")
    add(logs, "logs").add_argument("--lines", type=int, default=30, help="of each log (default: %(default)s)")
    add(pseudonym, "pseudonym").add_argument("user_id", nargs="+", help="the shop's own id")
    return parser


if __name__ == "__main__":
    sys.exit(main())
