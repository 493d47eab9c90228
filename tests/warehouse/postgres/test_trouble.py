"""Publishing to PostgreSQL that is killed, stopped, kept waiting, or sent to the wrong place."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from qianmian.postgres import Postgres
from qianmian.step import ShopBusyError, StepError
from tests.warehouse.postgres.asking import ask, execute
from warehouse.targets import postgres

RunDay = Callable[..., dict[str, Any]]
KILLS = int(os.environ.get("QIANMIAN_KILLS", "6"))
PUBLISHERS = (
    "select pid from pg_stat_activity where application_name = 'qianmian publish' and datname = current_database()"
)


def test_killed_at_any_moment_it_leaves_the_current_set_and_the_next_run_repairs(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, warehouse: Path, lake: Path
) -> None:
    run_day("2026-10-31", "r0")
    publish()
    command = [
        *(sys.executable, "-m", "warehouse.targets.postgres", "--lake", str(lake), "--as-of", "2026-10-31"),
        *("--warehouse", str(warehouse), "--address", address, "--schema", "shop"),
    ]
    started = time.monotonic()
    run_day("2026-10-31", "full")
    subprocess.run(command, check=True, capture_output=True)
    whole = time.monotonic() - started
    expected = "full"
    dice = random.Random(3)
    for n in range(KILLS):
        run_day("2026-10-31", f"k{n}", users=3 + n % 2)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.3, 1.0) * whole)
        process.kill()
        process.wait()
        current = {run_id for (run_id,) in ask(address, "select distinct run_id from shop.home_recommendations")}
        assert current in ({expected}, {f"k{n}"})
        expected = next(iter(current))
    publish()
    assert ask(address, "select distinct run_id from shop.home_recommendations") == [(f"k{KILLS - 1}",)]
    assert ask(address, "select count(*) from shop.user_portraits_history") == ask(
        address, "select count(*) from shop.user_portraits"
    )


def test_the_server_goes_and_comes_back(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, server: Postgres, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-11-01", "r2")
    server.stop()
    with pytest.raises(psycopg2.OperationalError):
        publish()
    server.start()
    address = address.replace(address.split("port=")[1].split()[0], str(server.port))
    postgres.publish(address, "shop", warehouse)
    assert ask(address, "select distinct run_id from shop.user_portraits") == [("r2",)]


def test_a_server_that_was_down_for_days_catches_up(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    for day in (1, 2, 3):
        run_day(f"2026-11-0{day}", f"r1{day}")
    assert publish()["history_days"] == 3
    assert ask(address, "select distinct run_id from shop.home_recommendations") == [("r13",)]
    assert len(ask(address, "select distinct as_of_date from shop.user_portraits_history")) == 4


def test_two_publishers_wait_for_each_other(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    holder = psycopg2.connect(address)
    with holder.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(hashtext('qianmian shop'))")
        monkeypatch.setattr(postgres, "LOCK_PATIENCE_S", 0.5)
        with pytest.raises(ShopBusyError, match="has held the schema shop"):
            publish()
    holder.close()
    assert publish()["latest_run"] == "r1"


def test_who_waited_brings_what_is_there_when_the_turn_comes(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    """As where users are forgotten in the warehouse and on the server while a publisher waits."""
    run_day("2026-10-31", "r1")
    with ThreadPoolExecutor(1) as pool:
        with postgres.connected(address, "shop"):
            waiting = pool.submit(publish)
            while len(ask(address, PUBLISHERS)) < 2:
                assert not waiting.done(), waiting.result()
                time.sleep(0.05)
            run_day("2026-11-01", "r2")
        assert waiting.result()["latest_run"] == "r2"


def test_another_shops_schema_is_left_alone(run_day: RunDay, address: str, warehouse: Path) -> None:
    run_day("2026-10-31", "r1")
    postgres.publish(address, "shop", warehouse, shop="toys")
    run_day("2026-11-01", "r2")
    with pytest.raises(
        StepError, match="schema shop holds the tables of the shop toys: those of books"
    ) as refused:
        postgres.publish(address, "shop", warehouse, shop="books")
    assert ask(address, "select distinct run_id from shop.user_portraits_history") == [("r1",)]
    postgres.publish(address, "other", warehouse, shop="books")
    # As it says where toys is what books was called before.
    (statement,) = re.findall(r"called before: (.+?), then", refused.value.remedy)
    execute(address, statement)
    assert postgres.publish(address, "shop", warehouse, shop="books")["latest_run"] == "r2"
    assert postgres.publish(address, "shop", warehouse, shop="books")["loaded"] == {}


@pytest.mark.parametrize(
    ("address", "schema"),
    [
        ("postgresql://me:secret@host/bi", "shop"),
        ("host=h password=secret", "shop"),
        ("host=h", "Shop; drop"),
        ("me:secret@host", "shop"),
    ],
)
def test_secrets_in_addresses_and_bad_names_are_refused(address: str, schema: str) -> None:
    with pytest.raises(StepError) as refused:
        postgres.check_address(address, schema)
    assert "secret" not in refused.value.what


def test_a_server_that_is_gone_without_a_word_is_given_up(address: str) -> None:
    """By the system, which is told so: here nothing can cut a cable."""
    with postgres.connected(address, "shop") as server:
        line = socket.socket(fileno=os.dup(server.fileno()))
        asked = {
            name: line.getsockopt(socket.IPPROTO_TCP, name)
            for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        }
        line.close()
    assert list(asked.values()) == [30, 10, 3, 60_000]
    assert "keepalives_idle=7" in postgres.with_patience(f"{address} keepalives_idle=7")
