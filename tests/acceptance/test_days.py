"""Running days over and over gives the same tables; a past day never disturbs the present one."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from expectations.tables import PUBLISHED
from tests.acceptance.conftest import FIRST_DAY, NEXT_DAY, ROOT, Days, Shop
from tests.acceptance.reader import look
from tests.acceptance.tables import differences


def query(shop: Shop, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_first_day_is_published_whole(shop: Shop) -> None:
    assert look(shop.warehouse) is None
    [(users,)] = query(shop, "select count(*) from user_portraits")
    assert users > 200
    lists = query(
        shop,
        "select count(*), count(distinct item_id), min(rank), max(rank) "
        "from user_portraits left join home_recommendations using (user_id) group by user_id",
    )
    assert set(lists) == {(20, 20, 1, 20)}


def test_analysts_queries_run(shop: Shop) -> None:
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "reading_the_tables.md").read_text(), re.DOTALL)
    assert len(queries) >= 7
    answers = [query(shop, sql) for sql in queries]
    # All but the last (failed checks, where there may be none) have something to say.
    assert all(answers[:-1])


def test_columns_are_described_in_the_warehouse(shop: Shop) -> None:
    comments = query(shop, "select table_name, column_name, comment from duckdb_columns() where not internal")
    missing = [(t, c) for t, c, comment in comments if t in PUBLISHED and not comment]
    assert not missing


def test_same_day_twice_is_identical(days: Days) -> None:
    assert differences(days.published["first"], days.published["again"]) == {}


def test_next_day_is_another_day(days: Days) -> None:
    assert set(differences(days.published["first"], days.published["next"])) == set(PUBLISHED)


def test_past_day_after_a_later_one_is_identical(days: Days) -> None:
    assert differences(days.published["first"], days.published["past"]) == {}


def test_past_day_leaves_the_latest_in_place(days: Days) -> None:
    assert look(days.shop.warehouse) is None
    assert query(days.shop, "select run_id from pipeline_runs where is_latest") == [("next",)]
    assert query(days.shop, "select status from pipeline_runs where run_id = 'past'") == [("published",)]


def test_history_has_one_run_a_day(days: Days) -> None:
    seen = query(
        days.shop, "select as_of_date::varchar, count(distinct run_id) from user_portraits_history group by 1"
    )
    assert sorted(seen) == [(FIRST_DAY, 1), (NEXT_DAY, 1)]


def test_no_raw_user_id_past_landing(days: Days) -> None:
    """The shop's own ids are found in landing, and in no file that the pipeline makes of it."""
    lake = days.shop.lake
    users = sorted((lake / "landing" / "users").glob("*.csv"))[0].read_text().splitlines()[1:200]
    raw_ids = [line.split(",")[0] for line in users]
    needles = re.compile("|".join(re.escape(raw) for raw in raw_ids).encode())
    offenders = [
        path
        for path in lake.rglob("*")
        if path.is_file() and "landing" not in path.relative_to(lake).parts and holds(path, needles)
    ]
    assert not offenders


def holds(path: Path, needles: re.Pattern[bytes]) -> bool:
    if path.suffix == ".parquet":
        rows = duckdb.sql(f"select * from read_parquet('{path}')").fetchall()
        return any(needles.search(str(row).encode()) for row in rows)
    return bool(needles.search(path.read_bytes()))
