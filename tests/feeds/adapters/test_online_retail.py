"""The adapter against direct queries of the raw file, and on a small made-up file whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.tables import FEEDS
from feeds.adapters.online_retail import COLUMNS, FILE, convert
from qianmian.step import StepError

RAW_SCHEMA = pa.schema(
    dict(
        zip(
            COLUMNS,
            [pa.string()] * 3 + [pa.float64(), pa.timestamp("us"), pa.float64(), pa.float64(), pa.string()],
            strict=True,
        )
    )
)
#: Written out by hand and not taken from the adapter: what the public data set is known to call no product.
NO_PRODUCT = """('POST', 'DOT', 'C2', '23444', 'BANK CHARGES', 'AMAZONFEE', 'CRUK', 'M', 'D', 'S', 'B', '22016',
    'GIFT_0001_10', 'GIFT_0001_20', 'GIFT_0001_30', 'GIFT_0001_40', 'GIFT_0001_50')"""


class Converted:
    """A raw file, its feeds, and the report."""

    def __init__(self, raw: Path, feeds: Path) -> None:
        self.feeds = feeds
        self.report = convert(raw, feeds)
        self.db = duckdb.connect()
        self.db.execute(f"create view raw as select * from '{raw / FILE}'")
        self.db.execute(f"create view events as select * from '{feeds}/events/*.parquet'")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql).fetchall()


@pytest.fixture(scope="module")
def real(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(shared_data("uci_online_retail"), tmp_path_factory.mktemp("retail") / "feeds")


def test_every_raw_line_is_exactly_one_thing(real: Converted) -> None:
    expected = real.rows(f"""
        select
            count(*) filter (not service and "InvoiceNo" not like 'C%' and "Quantity" > 0 and "UnitPrice" > 0),
            count(*) filter (not service and "InvoiceNo" like 'C%'),
            count(*) filter (service),
            count(*) filter (not service and "InvoiceNo" not like 'C%' and "Quantity" < 0),
            count(*) filter (not service and "Quantity" > 0 and "UnitPrice" = 0)
        from (select *, upper("StockCode") in {NO_PRODUCT} as service from raw)
    """)[0]
    assert tuple(real.report["lines"].values()) == expected
    assert sum(expected) == real.report["raw_lines"] == 541_909
    assert sum(real.report["lines_of_cancellations"].values()) == 9_288
    assert real.report["lines_without_customer"] == 135_080


def test_files_hold_what_the_report_says(real: Converted) -> None:
    lines = real.report["lines"]
    assert real.rows(
        "select event_type, count(*), count(distinct event_id) from events group by 1 order by 1"
    ) == [
        ("purchase", lines["purchase"], lines["purchase"]),
        ("return", lines["return"], lines["return"]),
    ]
    set_aside = f"{real.feeds}/_set_aside/online_retail.parquet"
    found = real.rows(f"select reason, count(*) from '{set_aside}' group by 1 order by 1")
    assert dict(found) == {kind: lines[kind] for kind in ("no_price", "service_line", "stock_correction")}


@pytest.mark.parametrize("signs", ["'purchase'", "'purchase', 'return'"])
def test_revenue_by_month_is_that_of_the_raw_file_to_the_penny(real: Converted, signs: str) -> None:
    """By the shop's own months: London time, which the feed tells in UTC."""
    feed = real.rows(f"""
        select strftime(timezone('Europe/London', event_at), '%Y-%m') as month,
            sum(case event_type when 'return' then -1 else 1 end * quantity * unit_price)
        from events where event_type in ({signs}) group by 1 order by 1
    """)
    raw = real.rows(f"""
        select strftime("InvoiceDate", '%Y-%m') as month,
            sum("Quantity"::decimal(18, 3) * "UnitPrice"::decimal(18, 4))
        from raw
        where upper("StockCode") not in {NO_PRODUCT} and "UnitPrice" > 0
            and ("Quantity" > 0 or ("InvoiceNo" like 'C%' and {"true" if "return" in signs else "false"}))
        group by 1 order by 1
    """)
    assert len(feed) == 13
    assert feed == raw


def test_events_are_as_the_feed_is_defined(real: Converted) -> None:
    columns = [row[0] for row in real.rows("describe events")]
    assert set(columns) <= set(FEEDS["events"].column_names)
    assert set(FEEDS["events"].required) <= set(columns)
    assert real.rows("select count(*) from events where quantity <= 0 or unit_price <= 0 or user_id is null") == [
        (0,)
    ]
    assert real.rows("select count(distinct item_id) from events where item_id <> upper(item_id)") == [(0,)]
    by_file = f"select filename, event_at from read_parquet('{real.feeds}/events/*.parquet', filename = true)"
    wrong_day = f"select count(*) from ({by_file}) where filename not like '%/' || event_at::date || '.parquet'"
    real.db.execute("set TimeZone = 'UTC'")
    assert real.rows(wrong_day) == [(0,)]


def test_every_item_is_known_on_the_day_of_its_first_event_and_has_a_product_name(real: Converted) -> None:
    real.db.execute("set TimeZone = 'UTC'")
    real.db.execute(f"""
        create or replace view items as
        select * exclude filename, regexp_extract(filename, '(\\d{{4}}-\\d\\d-\\d\\d)', 1)::date as day
        from read_csv('{real.feeds}/items/*.csv', all_varchar = true, filename = true)
    """)
    first_days = real.rows("""
        select count(*), count(*) filter (item_day = event_day) from (
            (select item_id, min(day) as item_day from items group by 1)
            full join (select item_id, min(event_at::date) as event_day from events group by 1) using (item_id)
        )
    """)
    assert first_days[0][0] == first_days[0][1] > 3_700
    notes = (
        "('ebay', 'amazon', 'check', 'damages', 'damaged', 'found', '?', 'adjustment', 'sold as set on dotcom')"
    )
    assert real.rows(f"select count(*) from items where lower(title) in {notes} or title is null") == [(0,)]
    last = "select arg_max(title, day) from items where item_id = '85123A'"
    most_used = """
        select "Description" from raw where upper("StockCode") = '85123A' and "UnitPrice" > 0
        group by 1 order by count(*) desc limit 1
    """
    assert real.rows(last) == real.rows(most_used)


def raw_folder(folder: Path, rows: list[tuple[Any, ...]]) -> Path:
    folder.mkdir()
    columns = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(columns, schema=RAW_SCHEMA), folder / FILE)
    return folder


WINTER, SUMMER = datetime(2011, 1, 5, 23, 30), datetime(2011, 6, 6, 0, 30)
ROWS = [
    ("1", "10001a", "RED MUG", 2.0, WINTER, 1.25, 7.0, "United Kingdom"),
    ("1", "10001A", "RED MUG", 2.0, WINTER, 1.25, 7.0, "United Kingdom"),
    ("1", "POST", "POSTAGE", 1.0, WINTER, 5.0, 7.0, "United Kingdom"),
    ("2", "10001A", "CRIMSON MUG", 1.0, SUMMER, 1.5, None, "EIRE"),
    ("2", "10002", "damaged", -3.0, SUMMER, 0.0, None, "EIRE"),
    ("2", "10001A", "ebay", 4.0, SUMMER, 0.0, None, "EIRE"),
    ("C3", "10003", "BLUE CUP", -1.0, SUMMER, 0.001, 8.0, "EIRE"),
    ("C3", "M", "Manual", -1.0, SUMMER, 9.0, 8.0, "EIRE"),
    ("A4", "B", "Adjust bad debt", 1.0, SUMMER, -11.0, None, "EIRE"),
]


def test_small_file_with_known_answers(tmp_path: Path) -> None:
    small = Converted(raw_folder(tmp_path / "raw", ROWS), tmp_path / "feeds")
    assert small.report["lines"] == {
        "purchase": 3,
        "return": 1,
        "service_line": 3,
        "stock_correction": 1,
        "no_price": 1,
    }
    small.db.execute("set TimeZone = 'UTC'")
    found = small.rows(
        "select event_id, event_at::timestamp, user_id, event_type, item_id, quantity, unit_price "
        "from events order by event_id"
    )
    evening_before = datetime(2011, 6, 5, 23, 30)  # British summer time is an hour ahead of UTC
    assert found == [
        ("1-1", WINTER, "7", "purchase", "10001A", Decimal(2), Decimal("1.25")),
        ("1-2", WINTER, "7", "purchase", "10001A", Decimal(2), Decimal("1.25")),
        ("2-1", evening_before, "", "purchase", "10001A", Decimal(1), Decimal("1.5")),
        ("C3-1", evening_before, "8", "return", "10003", Decimal(1), Decimal("0.001")),
    ]
    files = sorted(str(path.relative_to(small.feeds)) for path in small.feeds.glob("*/*"))
    assert files == [
        "_set_aside/online_retail.parquet",
        "events/2011-01-05.parquet",
        "events/2011-06-05.parquet",
        "items/2011-01-05.csv",
        "items/2011-06-05.csv",
    ]
    assert (small.feeds / "items/2011-01-05.csv").read_text() == (
        "item_id,title,price,currency\n10001A,RED MUG,1.2500,GBP\n"
    )
    # RED MUG, used twice, stays the title; only the price is new. What was only ever returned has no price.
    assert (small.feeds / "items/2011-06-05.csv").read_text() == (
        "item_id,title,price,currency\n10001A,RED MUG,1.5000,GBP\n10003,BLUE CUP,,GBP\n"
    )


def test_of_two_titles_used_as_often_the_one_used_last_stands(tmp_path: Path) -> None:
    rows = [
        ("1", "10001", "RED MUG", 1.0, WINTER, 1.0, None, "EIRE"),
        ("2", "10001", "CRIMSON MUG", 1.0, SUMMER, 1.0, None, "EIRE"),
    ]
    small = Converted(raw_folder(tmp_path / "raw", rows), tmp_path / "feeds")
    assert (small.feeds / "items/2011-06-05.csv").read_text().splitlines()[1] == "10001,CRIMSON MUG,1.0000,GBP"


def test_again_changes_nothing_and_another_file_is_refused(tmp_path: Path) -> None:
    raw, feeds = raw_folder(tmp_path / "raw", ROWS), tmp_path / "feeds"
    report = convert(raw, feeds)
    written = {path: path.stat().st_mtime_ns for path in feeds.rglob("*")}
    assert convert(raw, feeds) == report
    assert {path: path.stat().st_mtime_ns for path in feeds.rglob("*")} == written
    other = raw_folder(tmp_path / "other", ROWS[:-1])
    with pytest.raises(StepError, match="was filled by") as refused:
        convert(other, feeds)
    assert "another folder" in refused.value.remedy


def test_two_conversions_are_byte_identical(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", ROWS)
    convert(raw, tmp_path / "one")
    convert(raw, tmp_path / "two")
    one = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")}
    two = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.*")}
    assert one == two


def test_a_missing_column_or_a_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=FILE):
        convert(tmp_path, tmp_path / "feeds")
    (tmp_path / FILE).write_bytes(b"PAR1 cut off")
    with pytest.raises(StepError, match="cannot be read"):
        convert(tmp_path, tmp_path / "feeds1")
    pq.write_table(pa.table({"InvoiceNo": ["1"]}), tmp_path / FILE)
    with pytest.raises(StepError, match="no column StockCode"):
        convert(tmp_path, tmp_path / "feeds2")
