"""PostgreSQL as another release left it is brought up, and what others made there stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from expectations.tables import DATA_FRESHNESS_SQL, PUBLISHED, Table
from qianmian.step import StepError
from tests.warehouse.earlier_release import as_before_ended_at
from tests.warehouse.postgres.asking import ask, execute
from warehouse.history import history_file
from warehouse.rebuild import rebuild
from warehouse.rollback import rollback
from warehouse.runs import PipelineRun
from warehouse.targets import postgres, postgres_layout
from warehouse.targets.postgres_layout import Layout

RunDay = Callable[..., dict[str, Any]]


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


def test_an_installation_of_an_earlier_release_brings_its_days_once_more(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str
) -> None:
    run_day("2026-10-31", "r1")
    publish()
    execute(address, "alter table shop_sets.history_days drop column published_at")
    execute(address, "delete from shop_sets.user_portraits_history where user_id <> repeat('0', 32)")
    assert publish()["history_days"] == 1
    assert ask(address, "select count(*) from shop.user_portraits_history") == [(3,)]


def test_a_warehouse_of_an_earlier_release_brings_the_histories_it_has(
    run_day: RunDay, publish: Callable[[], dict[str, Any]], address: str, lake: Path, warehouse: Path
) -> None:
    run_day("2026-10-31", "r1")
    with duckdb.connect(str(warehouse)) as connection:
        for name in ("model_metrics_history", "data_quality_results_history"):
            connection.execute(f"drop view {name}")
    publish()
    counts = "select (select count(*) from shop.user_portraits_history), (select count(*) from shop.{}_history)"
    assert ask(address, counts.format("model_metrics")) == [(3, 0)]
    rebuild(lake, warehouse)
    assert publish()["history_days"] == 1
    assert ask(address, counts.format("model_metrics")) == [(3, 6)]
    assert ask(address, counts.format("data_quality_results")) == [(3, 1)]
    assert publish()["history_days"] == 0
