"""Days backfilled by Airflow against the same days run one after the other; and what each day costs.

    python -m bench.backfill FOLDER --days 30 --by-airflow 30 --users 2000 --plot docs/backfill_cost.png

Two homes under FOLDER, the same simulated shop in both. In the one the DAG's commands run day after day; in the
other Airflow backfills the first days of the range. Every published table of those days is compared, row by row,
without the columns that name the run. What is done already under FOLDER is not done again, so that an interrupted
benchmark goes on. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.daily_commands import STEPS, run_day
from expectations.tables import PUBLISHED
from qianmian import settings
from qianmian.backfill import backfill
from qianmian.local_airflow import LocalAirflow
from qianmian.step import write_atomically
from warehouse.history import history_file
from warehouse.runs import recorded_runs, standing_runs

SHOP = "simulated"
#: Whom Airflow's own schedule serves meanwhile: nobody, so that only the backfill works on the shop.
NOBODY = {"QIANMIAN_DAILY_SHOP": "nobody", "QIANMIAN_SCHEDULE": "0 2 * * *"}
EDGE_DAYS = 5
UNITS = ("seconds", "processor_seconds")
Steps = dict[str, dict[str, float]]


def in_order(home: Path, days: list[date], environ: Mapping[str, str]) -> dict[str, Steps]:
    """Run the days by the DAG's commands and return what each step took, by day."""
    file = home / "took.json"
    took: dict[str, Steps] = json.loads(file.read_text()) if file.exists() else {}
    for day in map(str, days):
        if day not in took:
            took[day] = run_day(SHOP, day, f"in_order_{day}", environ)
            write_atomically(file, json.dumps(took))
            seconds, used = (total(took[day], unit) for unit in UNITS)
            # Not by the log, which Airflow has taken for itself once its DAG is imported.
            print(f"{day}: {seconds:.0f} s, {used:.0f} s of a processor", file=sys.stderr, flush=True)
    return {day: took[day] for day in map(str, days)}


def total(steps: Steps, unit: str) -> float:
    """Sum up what a day's steps took."""
    return sum(one[unit] for one in steps.values())


def by_airflow(days: list[date], environ: Mapping[str, str]) -> dict[str, str]:
    """Backfill the days and return the state of each."""
    saved = dict(os.environ)
    os.environ.update({**environ, **NOBODY})
    airflow = LocalAirflow(settings.load_daily())
    airflow.up(NOBODY["QIANMIAN_SCHEDULE"])
    try:
        return backfill(airflow, SHOP, days[0], days[-1])
    finally:
        airflow.stop()
        os.environ.clear()
        os.environ.update(saved)


def differing_rows(ours: Path, theirs: Path, day: date) -> dict[str, int]:
    """Count, by table, the rows of a day that stand in one lake's history only."""
    found = {}
    runs = [(lake, standing_runs(recorded_runs(lake))[day]) for lake in (ours, theirs)]
    with duckdb.connect() as connection:
        for table in PUBLISHED:
            one, other = (
                f"(select * exclude (run_id, generated_at) from read_parquet('{history_file(lake, table, run)}'))"
                for lake, run in runs
            )
            both = f"({one} except all {other}) union all ({other} except all {one})"
            (rows,) = connection.execute(f"select count(*) from ({both})").fetchone() or (0,)
            if rows:
                found[table] = int(rows)
    return found


def costs(took: Mapping[str, Steps], unit: str) -> dict[str, Any]:
    """Sum up what days cost: the first (which brings all history), the early ones, the last ones, the trend."""
    days = list(took.values())
    totals = np.array([total(steps, unit) for steps in days])
    later = totals[1:] if len(totals) > 1 else totals
    edge = min(EDGE_DAYS, max(len(later) // 2, 1))
    by_step = {
        step: [
            round(float(np.mean([one[step][unit] for one in some])), 2) for some in (days[1:][:edge], days[-edge:])
        ]
        for step in STEPS
    }
    return {
        "first_day": round(float(totals[0]), 1),
        "early_days": round(float(later[:edge].mean()), 1),
        "last_days": round(float(later[-edge:].mean()), 1),
        "trend_a_day": round(float(np.polyfit(np.arange(len(later)), later, 1)[0]), 2) if len(later) > 1 else 0.0,
        "steps_early_last": by_step,
    }


def draw(took: Mapping[str, Steps], file: Path) -> None:
    """Draw each day's processor seconds, step upon step."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    below = np.zeros(len(took))
    for colour, step in zip(colours, STEPS, strict=False):
        height = np.array([one[step]["processor_seconds"] for one in took.values()])
        axes.bar(range(len(took)), height, 0.9, bottom=below, label=step.replace("_", " "), color=colour)
        below += height
    places = range(0, len(took), max(len(took) // 10, 1))
    axes.set_xticks(list(places), [list(took)[place][5:] for place in places])
    axes.set_ylabel("processor seconds")
    axes.set_title(f"What a day costs, {len(took)} days in a row")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8, reverse=True)
    figure.savefig(file, dpi=110)


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the two homes are made")
    parser.add_argument("--first", type=date.fromisoformat, default=date(2026, 9, 15), help="first day")
    parser.add_argument("--days", type=int, default=30, help="run by commands (default: %(default)s)")
    parser.add_argument("--by-airflow", type=int, default=30, help="of them backfilled too (default: %(default)s)")
    parser.add_argument("--users", type=int, default=2000, help="of the simulated shop (default: %(default)s)")
    parser.add_argument("--plot", type=Path, help="picture of what each day cost")
    args = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    days = [args.first + timedelta(days=n) for n in range(args.days)]
    compared = days[: args.by_airflow]
    environ = {**os.environ, "QIANMIAN_SIMULATED_USERS": str(args.users)}
    homes = [(args.folder / name).resolve() for name in ("in_order", "backfilled")]
    for home in homes:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)  # the owner of PostgreSQL's files passes through it
    ordered, backfilled = ({**environ, "QIANMIAN_HOME": str(home)} for home in homes)
    # The same key in both homes: pseudonyms are part of what is compared.
    ordered["QIANMIAN_PSEUDONYM_KEY"] = backfilled["QIANMIAN_PSEUDONYM_KEY"] = "the key of a benchmark"
    took = in_order(homes[0], days, ordered)
    states = by_airflow(compared, backfilled) if compared else {}
    lakes = [home / SHOP / "lake" for home in homes]
    different = {str(day): rows for day in compared if (rows := differing_rows(lakes[0], lakes[1], day))}
    if args.plot:
        draw(took, args.plot)
    result = {
        "users": args.users,
        "days": args.days,
        "backfilled_days": len(compared),
        "failed_days": sorted(day for day, state in states.items() if state != "success"),
        "differing_rows": different,
        **{unit: costs(took, unit) for unit in UNITS},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
