"""Who is a machine, and who only looks like one."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from spark_jobs.transforms.bots import find_bots

DAY = date(2026, 10, 31)
MORNING = datetime(2026, 10, 31, tzinfo=UTC)
Actions = list[tuple[str, timedelta]]


def every(seconds: float, count: int, *kinds: str, start: float = 0) -> Actions:
    return [(kinds[n % len(kinds)], timedelta(seconds=start + seconds * n)) for n in range(count)]


PEOPLE: dict[str, Actions] = {
    "wholesaler: an invoice of 500 lines in one minute": every(0, 500, "purchase"),
    "returns a whole invoice": every(0.1, 300, "return"),
    "scrolls: screenfuls of impressions": every(0.2, 900, "impression"),
    "hurried for two minutes": every(3, 40, "view"),
    "long evening, click and view written for each page": [
        (kind, timedelta(seconds=10 * n)) for n in range(400) for kind in ("click", "view")
    ],
    "up early and late": every(3600, 19, "view", "click", "view"),
}
MACHINES: dict[str, tuple[str, Actions]] = {
    "crawler": ("machine_pace", every(2, 200, "view")),
    "in bursts": (
        "machine_pace",
        [a for hour in range(0, 24, 8) for a in every(2, 60, "click", start=3600 * hour)],
    ),
    "clicks on what it is shown": ("machine_pace", every(1, 300, "impression", "click")),
    "slow and sleepless": ("never_asleep", every(600, 144, "view")),
    "patient": ("endless_browsing", every(10, 1500, "view", "click", start=3600)),
}


def events(spark: Any, actions: dict[str, Actions], arrived_on: date = DAY) -> Any:
    rows = [
        (who, kind, MORNING + after, (MORNING + after).date(), arrived_on)
        for who, done in actions.items()
        for kind, after in done
    ]
    columns = "user_id string, event_type string, event_at timestamp, event_date date, arrived_on date"
    return spark.createDataFrame(rows, columns)


def test_machines_are_found_and_people_are_not(spark: Any) -> None:
    actions = {**PEOPLE, **{who: done for who, (_, done) in MACHINES.items()}}
    found = {row.user_id: row for row in find_bots(events(spark, actions)).collect()}
    assert {who: row.rule for who, row in found.items()} == {who: rule for who, (rule, _) in MACHINES.items()}
    assert found["crawler"].evidence == "200 actions of one kind in 7 minutes on 2026-10-31"


def test_the_first_finding_stands(spark: Any) -> None:
    later = DAY + timedelta(days=1)
    crawl = {"crawler": MACHINES["crawler"][1]}
    (found,) = find_bots(events(spark, crawl, later).union(events(spark, crawl))).collect()
    assert found.arrived_on == DAY
