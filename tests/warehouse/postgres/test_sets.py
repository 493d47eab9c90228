"""The PostgreSQL target, against a real server: whole sets, described, with their history."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expectations.tables import PIPELINE_RUNS, PUBLISHED, REFUSED_CHECKS
from tests.warehouse.postgres.asking import ask
from warehouse.rollback import rollback
from warehouse.swap import swap_in
from warehouse.targets import postgres
from warehouse.targets.postgres_layout import Layout
from warehouse.targets.source import Source

RunDay = Callable[..., dict[str, Any]]
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
