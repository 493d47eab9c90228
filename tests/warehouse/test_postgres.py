"""The PostgreSQL target, against a real server: whole sets, readers that never stop, kills, catching up."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from expectations.tables import DATA_FRESHNESS_SQL, PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS, Table
from qianmian.postgres import Postgres
from qianmian.step import ShopBusyError, StepError
from tests.warehouse.earlier_release import as_before_ended_at
from warehouse.history import history_file
from warehouse.rebuild import rebuild
from warehouse.rollback import rollback
from warehouse.runs import PipelineRun
from warehouse.swap import swap_in
from warehouse.targets import postgres, postgres_layout
from warehouse.targets.postgres_layout import Layout
from warehouse.targets.source import Source

RunDay = Callable[..., dict[str, Any]]
PASSWORD = "for-tests-only"
PUBLISHES = int(os.environ.get("QIANMIAN_PUBLISHES", "6"))
KILLS = int(os.environ.get("QIANMIAN_KILLS", "6"))
READERS = 20
PUBLISHERS = (
    "select pid from pg_stat_activity where application_name = 'qianmian publish' and datname = current_database()"
)

INDEX_COLUMNS = """
    select t.relname, i.indisprimary, array_agg(a.attname order by k.place)
    from pg_index as i
    cross join lateral unnest(i.indkey) with ordinality as k (number, place)
    inner join pg_class as t on t.oid = i.indrelid
    inner join pg_namespace as n on n.oid = t.relnamespace
    inner join pg_attribute as a on (a.attrelid, a.attnum) = (t.oid, k.number)
    where n.nspname = %s
    group by t.relname, i.indexrelid, i.indisprimary
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    running = Postgres(tmp_path_factory.mktemp("postgres"), PASSWORD)
    running.start()
    yield running
    running.stop()
    if running.moved_to:
        shutil.rmtree(running.moved_to)


@pytest.fixture
def address(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a database of the test's own, with a reader's role."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    at = f"host=127.0.0.1 port={server.port} user=airflow"
    name = f"t{time.monotonic_ns()}"
    admin = psycopg2.connect(f"{at} dbname=postgres")
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"create database {name}")
        cursor.execute("select 1 from pg_roles where rolname = 'bi_reader'")
        if not cursor.fetchone():
            cursor.execute(f"create role bi_reader login password '{PASSWORD}'")
            cursor.execute("alter role bi_reader set default_transaction_isolation = 'repeatable read'")
    admin.close()
    return f"{at} dbname={name}"


@pytest.fixture
def publish(address: str, warehouse: Path) -> Callable[[], dict[str, Any]]:
    return lambda: postgres.publish(address, "shop", warehouse, "bi_reader")


def ask(address: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(address)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall()
    finally:
        connection.close()


def execute(address: str, statement: str) -> None:
    connection = psycopg2.connect(address)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_the_tables_are_those_of_the_warehouse(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, query: Callable[[str], Any]
) -> None:
    run_day("2026-10-31", "r1")
    run_day("2026-11-01", "r2", users=4)
    done = publish()
    assert done["latest_run"] == "r2"
    assert done["history_days"] == 2
    for name, table in {**PUBLISHED, "pipeline_runs": PIPELINE_RUNS, "refused_checks": REFUSED_CHECKS}.items():
        columns, key = ", ".join(table.column_names), ", ".join(table.key)
        rows = f"select {columns} from {{}}{name} order by {key}"
        assert ask(address, rows.format("shop.")) == query(rows.format("")), name
    freshness = "select run_id, days_old, is_fresh, last_run_status from {}data_freshness"
    assert ask(address, freshness.format("shop.")) == query(freshness.format(""))
    history = "select as_of_date, run_id, count(*) from {}user_portraits_history group by 1, 2 order by 1"
    assert ask(address, history.format("shop.")) == query(history.format(""))


def test_columns_and_tables_are_described(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    said = ask(
        address,
        "select column_name, col_description(%s::regclass, ordinal_position) from information_schema.columns"
        " where table_schema = 'shop' and table_name = 'user_portraits' order by ordinal_position",
        "shop.user_portraits",
    )
    assert said == [(c.name, c.description) for c in PUBLISHED["user_portraits"].columns]
    assert ask(address, "select obj_description('shop.user_portraits'::regclass)")[0][0].startswith(
        "What the system"
    )


def test_the_same_again_loads_nothing(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    assert publish()["loaded"]["user_portraits"] == 3
    assert publish()["loaded"] == {}
    # A past day becomes history; the tables that stand are there already.
    run_day("2026-10-30", "r0", users=2)
    again = publish()
    assert (again["loaded"], again["history_days"], again["latest_run"]) == ({}, 1, "r1")
    assert ask(address, "select run_id from shop.pipeline_runs order by 1") == [("r0",), ("r1",)]


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


def test_going_back_moves_no_rows(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-11-01", "r2", users=4)
    publish()
    rollback(lake, warehouse, "x")
    done = publish()
    assert (done["loaded"], done["latest_run"]) == ({}, "r1")
    assert ask(address, "select run_id, count(*) from shop.user_portraits group by 1") == [("r1", 3)]
    assert ask(address, "select distinct run_id from shop.user_portraits_history") == [("r1",)]


def test_a_day_run_again_replaces_its_history(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-10-31", "r2", users=5)
    assert publish()["history_days"] == 1
    assert ask(address, "select run_id, count(*) from shop.user_portraits_history group by 1") == [("r2", 5)]


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


def test_a_release_with_other_columns_exchanges_the_views_and_keeps_grants(
    run_day: RunDay, address: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    older = {
        name: Table(t.name, t.description, t.key, tuple(c for c in t.columns if c.name != "platform"))
        for name, t in PUBLISHED.items()
    }
    monkeypatch.setattr(postgres, "PUBLISHED", older)
    postgres.publish(address, "shop", warehouse, "bi_reader")
    monkeypatch.setattr(postgres, "PUBLISHED", PUBLISHED)
    postgres.publish(address, "shop", warehouse)
    reader = address.replace("user=airflow", "user=bi_reader")
    assert ask(reader, "select distinct platform from shop.user_portraits") == [("web",)]
    schemas = ask(address, "select nspname from pg_namespace where nspname like 'shop%%' order by 1")
    layout = Layout("shop", PUBLISHED)
    assert [name for (name,) in schemas] == sorted(["shop", "shop_sets", *(layout.slot(n) for n in (1, 2, 3))])


def test_a_server_and_a_warehouse_of_a_release_without_ended_at_are_brought_up(
    run_day: RunDay, address: str, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    postgres.publish(address, "shop", warehouse, "bi_reader")
    connection = psycopg2.connect(address)
    with connection, connection.cursor() as cursor:
        cursor.execute("drop view shop.data_freshness, shop.pipeline_runs")
        cursor.execute("alter table shop_sets.pipeline_runs drop column ended_at")
        cursor.execute("comment on schema shop is 'Published by Qianmian. Contract earlier.'")
    connection.close()
    as_before_ended_at(warehouse)
    postgres.publish(address, "shop", warehouse, "bi_reader")
    runs = "select run_id, ended_at = published_at from shop.pipeline_runs order by 1"
    assert ask(address, runs) == [("r1", True)]
    run_day("2026-11-01", "r2")
    postgres.publish(address, "shop", warehouse)
    assert ask(address, runs) == [("r1", True), ("r2", True)]
    reader = address.replace("user=airflow", "user=bi_reader")
    assert ask(reader, "select last_run_id, is_refused_since from shop.data_freshness") == [("r2", False)]


def test_views_of_others_are_named_when_they_are_in_the_way(
    run_day: RunDay, address: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    postgres.publish(address, "shop", warehouse)
    execute(address, "create view public.mine as select run_id from shop.hot_items")
    more = dict(PUBLISHED)
    hot = PUBLISHED["hot_items"]
    more["hot_items"] = Table(
        hot.name, hot.description, hot.key, tuple(c for c in hot.columns if c.name != "score")
    )
    monkeypatch.setattr(postgres, "PUBLISHED", more)
    with pytest.raises(StepError, match="mine"):
        postgres.publish(address, "shop", warehouse)
    assert ask(address, "select distinct run_id from public.mine") == [("r1",)]


def test_views_of_others_stay_where_columns_do(
    run_day: RunDay, address: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    fewer = dict(PUBLISHED)
    hot, metrics = PUBLISHED["hot_items"], PUBLISHED["model_metrics"]
    fewer["hot_items"] = Table(hot.name, hot.description, hot.key, hot.columns[:-1])
    fewer["model_metrics"] = Table(metrics.name, "Older words.", metrics.key, metrics.columns)
    monkeypatch.setattr(postgres, "PUBLISHED", fewer)
    postgres.publish(address, "shop", warehouse, "bi_reader")
    execute(address, "create view public.mine as select user_id from shop.user_portraits")
    execute(address, "create view public.theirs as select item_id from shop.hot_items")
    monkeypatch.setattr(postgres, "PUBLISHED", PUBLISHED)
    run_day("2026-11-01", "r2", users=4)
    postgres.publish(address, "shop", warehouse)
    assert ask(address, "select count(*) from public.mine") == [(4,)]
    assert ask(address, "select count(*) from public.theirs") == [(10,)]
    reader = address.replace("user=airflow", "user=bi_reader")
    assert ask(reader, f"select count({hot.columns[-1].name}) from shop.hot_items") == [(10,)]


def test_new_words_and_another_view_reach_an_installation_of_the_same_columns(
    run_day: RunDay, address: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    postgres.publish(address, "shop", warehouse, "bi_reader")
    views = "select oid, relname from pg_class where relnamespace = 'shop'::regnamespace order by 2"
    before = ask(address, views)
    hot = PUBLISHED["hot_items"]
    columns = (*hot.columns[:-1], replace(hot.columns[-1], description="New words."))
    newer = {**PUBLISHED, "hot_items": replace(hot, description="Other words.", columns=columns)}
    monkeypatch.setattr(postgres, "PUBLISHED", newer)
    monkeypatch.setattr(
        postgres_layout, "DATA_FRESHNESS_SQL", f"select * from ({DATA_FRESHNESS_SQL}) as it where false"
    )
    assert postgres.publish(address, "shop", warehouse)["loaded"] == {}
    said = "select obj_description('shop.hot_items'::regclass), col_description('shop.hot_items'::regclass, %s)"
    [(table, column)] = ask(address, said, len(columns))
    assert (table.startswith("Other words."), column) == (True, "New words.")
    reader = address.replace("user=airflow", "user=bi_reader")
    assert ask(reader, "select count(*) from shop.data_freshness") == [(0,)]
    assert ask(address, views) == before


def without_column(file: Path, column: str) -> None:
    """Leave a file of history as a release wrote it that did not have a column yet."""
    aside = file.with_suffix(".aside")
    with duckdb.connect() as connection:
        connection.execute(f"copy (select * exclude ({column}) from '{file}') to '{aside}' (format parquet)")
    aside.replace(file)


def test_runs_of_a_release_that_lacked_a_column_can_be_brought_and_gone_back_to(
    run_day: RunDay,
    publish: Callable[[], dict[str, Any]],
    address: str,
    lake: Path,
    warehouse: Path,
    recorded: Callable[[str], PipelineRun],
) -> None:
    run_day("2026-11-01", "r2")
    publish()
    # As earlier releases made that table.
    execute(address, "alter table shop_sets.user_portraits_history alter column segment set not null")
    run_day("2026-10-31", "r1", users=4)
    without_column(history_file(lake, "user_portraits", recorded("r1")), "segment")
    rebuild(lake, warehouse)
    assert publish()["history_days"] == 1
    history = "select run_id, count(*), count(segment) from shop.user_portraits_history group by 1 order by 1"
    assert ask(address, history) == [("r1", 4, 0), ("r2", 3, 3)]
    rollback(lake, warehouse, "x")
    assert publish()["latest_run"] == "r1"
    assert ask(address, "select count(*), count(segment) from shop.user_portraits") == [(4, 0)]


def test_a_value_that_is_never_null_and_is_lost_on_the_way_is_noticed(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-11-01", "r2", users=4)
    with monkeypatch.context() as patch:
        patch.setattr(Source, "never_null", lambda *_: {"segment", "churn_probability"})
        with pytest.raises(
            RuntimeError, match=r"user_portraits reads back as 4 rows, 0 of another run, 4 that lack"
        ):
            publish()
    assert ask(address, "select distinct run_id from shop.user_portraits") == [("r1",)]


def test_a_run_published_again_under_its_id_replaces_its_history(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    run_day("2026-10-31", "r1", users=5)
    assert publish()["history_days"] == 1
    assert ask(address, "select count(*) from shop.user_portraits_history") == [(5,)]
    assert publish()["history_days"] == 0


def test_an_installation_of_an_earlier_release_brings_its_days_once_more(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    execute(address, "alter table shop_sets.history_days drop column published_at")
    execute(address, "delete from shop_sets.user_portraits_history where user_id <> repeat('0', 32)")
    assert publish()["history_days"] == 1
    assert ask(address, "select count(*) from shop.user_portraits_history") == [(3,)]


@pytest.mark.parametrize(
    ("address", "schema"),
    [("postgresql://me:secret@host/bi", "shop"), ("host=h password=secret", "shop"), ("host=h", "Shop; drop")],
)
def test_secrets_in_addresses_and_bad_names_are_refused(address: str, schema: str) -> None:
    with pytest.raises(StepError) as refused:
        postgres.check_address(address, schema)
    assert "secret" not in refused.value.what


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


def test_tables_have_keys_and_the_indexes_that_analysts_join_by(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    found = ask(address, INDEX_COLUMNS, Layout("shop", PUBLISHED).slot(1))
    keys = {table: tuple(columns) for table, is_key, columns in found if is_key}
    assert keys == {name: table.key for name, table in PUBLISHED.items()}
    others = {(table, tuple(columns)) for table, is_key, columns in found if not is_key}
    assert others == {("home_recommendations", ("item_id",)), ("user_traits", ("trait", "subject"))}


def test_nothing_published_yet_gives_empty_tables(address: str, tmp_path: Path, lake: Path) -> None:
    warehouse = tmp_path / "warehouse.duckdb"
    swap_in(warehouse, lake, [])
    assert postgres.publish(address, "shop", warehouse)["latest_run"] is None
    assert ask(address, "select count(*) from shop.home_recommendations") == [(0,)]
