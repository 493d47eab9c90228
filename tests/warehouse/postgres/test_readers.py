"""Readers of PostgreSQL while runs publish: one whole set, and nothing behind it."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from expectations.tables import PUBLISHED
from tests.warehouse.postgres.asking import ask, execute
from warehouse.targets import postgres
from warehouse.targets.postgres_layout import Layout

RunDay = Callable[..., dict[str, Any]]
PUBLISHES = int(os.environ.get("QIANMIAN_PUBLISHES", "6"))
READERS = 20


class Reader(threading.Thread):
    """Reads all tables in one transaction, again and again, and notes whatever is not one whole set."""

    def __init__(self, address: str, readers: threading.Event, pause: float) -> None:
        super().__init__()
        self.address, self.stopped, self.pause = address, readers, pause
        self.faults: list[str] = []
        self.seen: set[str] = set()
        self.looks = 0

    def run(self) -> None:
        try:
            connection = psycopg2.connect(self.address)
        except psycopg2.Error as error:
            self.faults.append(repr(error))
            return
        while not self.stopped.is_set():
            try:
                with connection, connection.cursor() as cursor:
                    self.look(cursor)
            except psycopg2.Error as error:
                self.faults.append(repr(error))
            self.looks += 1
        connection.close()

    def look(self, cursor: Any) -> None:
        runs, counts = set(), {}
        tables = list(PUBLISHED)
        random.shuffle(tables)
        for name in tables:
            cursor.execute(f"select run_id, count(*) from shop.{name} group by 1")
            rows = cursor.fetchall()
            runs |= {run_id for run_id, _ in rows}
            counts[name] = sum(count for _, count in rows)
            time.sleep(self.pause * random.random())
        cursor.execute("select run_id from shop.pipeline_runs where is_latest")
        runs |= {run_id for (run_id,) in cursor.fetchall()}
        if len(runs) != 1 or counts["home_recommendations"] != 20 * counts["user_portraits"]:
            self.faults.append(f"mixed: {runs} {counts}")
        self.seen |= runs


def test_the_reader_sees_the_views_and_nothing_else(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    reader = address.replace("user=airflow", "user=bi_reader")
    assert ask(reader, "select count(*) from shop.user_portraits") == [(3,)]
    for hidden in ("shop_sets.current_set", f"{Layout('shop', PUBLISHED).slot(1)}.user_portraits"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(reader, f"select * from {hidden}")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        ask(reader, "update shop.pipeline_runs set decision = ''")


def test_twenty_readers_never_see_a_mixture(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r0")
    publish()
    stopped = threading.Event()
    reader = address.replace("user=airflow", "user=bi_reader")
    readers = [Reader(reader, stopped, pause=0.02 * (n % 4)) for n in range(READERS)]
    for one in readers:
        one.start()
    for n in range(1, PUBLISHES + 1):
        run_day("2026-10-31", f"r{n}", users=3 + n % 3)
        publish()
    stopped.set()
    for one in readers:
        one.join()
    assert [fault for one in readers for fault in one.faults] == []
    assert all(one.looks > 0 for one in readers)
    assert len(set().union(*(one.seen for one in readers))) > PUBLISHES // 2


def test_a_transaction_that_stays_open_keeps_its_set_and_stops_nobody(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    held = psycopg2.connect(address.replace("user=airflow", "user=bi_reader"))
    with held.cursor() as cursor:
        cursor.execute("select distinct run_id from shop.home_recommendations")
        assert cursor.fetchall() == [("r1",)]
        for n in range(2, 6):
            run_day("2026-10-31", f"r{n}")
            publish()
            cursor.execute("select distinct run_id from shop.user_portraits")
            assert cursor.fetchall() == [("r1",)]
    held.close()
    assert ask(address, "select distinct run_id from shop.user_portraits") == [("r5",)]


def test_a_reader_whose_transactions_may_mix_two_sets_is_told_of(
    run_day: RunDay,
    publish: Callable[[], dict[str, Any]],
    address: str,
    warehouse: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    assert "WHAT TO DO" not in caplog.text
    execute(address, "create role hasty_reader")
    postgres.publish(address, "shop", warehouse, "hasty_reader")
    (advice,) = re.findall(r"WHAT TO DO: (alter role .+)", caplog.text)
    caplog.clear()
    execute(address, advice)
    postgres.publish(address, "shop", warehouse, "hasty_reader")
    assert "WHAT TO DO" not in caplog.text


def test_what_the_role_says_of_itself_goes_before_the_database(
    run_day: RunDay,
    publish: Callable[[], dict[str, Any]],
    address: str,
    warehouse: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    execute(address, 'create role "Quiet-Reader"')
    (database,) = ask(address, "select current_database()")[0]
    execute(address, f"alter database {database} set default_transaction_isolation = 'repeatable read'")
    run_day("2026-11-01", "r2")
    postgres.publish(address, "shop", warehouse, "Quiet-Reader")
    assert "WHAT TO DO" not in caplog.text
    # The writer's own transactions would be such, too: they still see what it loads beside them.
    assert ask(address, "select count(distinct as_of_date) from shop.user_portraits_history") == [(2,)]
    execute(address, "alter role \"Quiet-Reader\" set default_transaction_isolation = 'read committed'")
    postgres.publish(address, "shop", warehouse, "Quiet-Reader")
    (advice,) = re.findall(r"WHAT TO DO: (alter role .+)", caplog.text)
    caplog.clear()
    execute(address, advice)
    postgres.publish(address, "shop", warehouse, "Quiet-Reader")
    assert "WHAT TO DO" not in caplog.text
