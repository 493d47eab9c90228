"""The adapter against direct queries of the raw files, and on a made-up shop whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.tables import FEEDS
from feeds.adapters.completejourney import FILES, convert, shown_name
from qianmian.step import StepError

#: Written out by hand and not taken from the adapter: what no shelf has.
NO_PRODUCT = """('COUPONS/STORE & MFG', 'ELECTRONIC GIFT CARDS ACTIVATI', 'OUTSIDE VENDORS GIFT CARDS',
    'MASTERCARD GIFT CARD', 'AMERICAN EXPRESS GIFT CARD', 'MISC SALES TRANS', 'PRODUCE DEPT KEY RING',
    'FLORAL DEPT KEY RING', 'CENTRAL SUPPLIES')"""
FUEL = "(coalesce(product_type, '') like 'GASOLINE%' or department = 'FUEL')"
NO_NAME = "(product_category is null and product_type is null)"


class Converted:
    """Raw files, their feeds, and the report."""

    def __init__(self, raw: Path, feeds: Path) -> None:
        self.feeds = feeds
        self.report = convert(raw, feeds)
        self.db = duckdb.connect()
        self.db.execute("set TimeZone = 'UTC'")
        for name in FILES:
            self.db.execute(f"create view raw_{name.removesuffix('.parquet')} as select * from '{raw / name}'")
        for feed, extension in (
            *(("events", "parquet"), ("campaign_contacts", "parquet")),
            *(("items", "csv"), ("users", "csv"), ("campaigns", "csv")),
        ):
            files = f"'{feeds}/{feed}/*.{extension}', filename = true, union_by_name = true"
            read = f"read_parquet({files})" if extension == "parquet" else f"read_csv({files}, all_varchar = true)"
            self.db.execute(f"""
                create table {feed} as
                select * exclude filename, regexp_extract(filename, '(\\d{{4}}-\\d\\d-\\d\\d)', 1)::date as day
                from {read}
            """)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.db.execute(sql).fetchall()


@pytest.fixture(scope="module")
def real(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(shared_data("completejourney"), tmp_path_factory.mktemp("journey") / "feeds")


def test_every_raw_line_is_exactly_one_thing(real: Converted) -> None:
    named = f"known and not {NO_NAME}"
    shelf = f"{named} and not {FUEL} and product_type not in {NO_PRODUCT} and department <> 'COUPON'"
    expected = real.rows(f"""
        select
            count(*) filter ({shelf} and quantity > 0),
            count(*) filter (not known),
            count(*) filter (known and {NO_NAME}),
            count(*) filter ({named} and {FUEL}),
            count(*) filter ({named} and not {FUEL} and (product_type in {NO_PRODUCT} or department = 'COUPON')),
            count(*) filter ({shelf} and quantity = 0)
        from (
            select sold.*, products.* exclude (product_id, product_type), products.product_id is not null as known,
                coalesce(product_type, product_category) as product_type
            from raw_transactions_sample as sold
            left join raw_products as products on sold.product_id = products.product_id
        )
    """)[0]
    assert tuple(real.report["lines"].values()) == expected
    assert sum(expected) == real.report["raw_lines"] == 75_000
    assert real.rows("select count(*), count(distinct event_id) from events") == [(expected[0], expected[0])]
    set_aside = real.rows(
        f"select reason, count(*) from '{real.feeds}/_set_aside/transactions.parquet' group by 1"
    )
    assert dict(set_aside) == real.report["set_aside"]


def test_every_redemption_is_told_by_a_purchase_or_set_aside(real: Converted) -> None:
    found = real.report["redemptions"]
    assert found["told_by_a_purchase"] + found["no_line"] == 2_102
    aside = real.rows(f"select count(*) from '{real.feeds}/_set_aside/coupon_redemptions.parquet'")
    assert aside == [(found["no_line"],)]
    wrong = real.rows("""
        select count(*), count(*) filter (not exists (
            from raw_coupon_redemptions as redeemed
            where redeemed.household_id = events.user_id and redeemed.campaign_id = events.campaign_id
        ))
        from events where campaign_id is not null
    """)
    assert 0 < wrong[0][0] <= found["told_by_a_purchase"]
    assert wrong[0][1] == 0


def test_money_by_month_is_what_households_paid(real: Converted) -> None:
    """By the shops' own months; a piece's price is rounded to a hundredth of a cent."""
    feed = real.rows("""
        select
            strftime(timezone('America/New_York', event_at), '%Y-%m') as month,
            sum(quantity * unit_price)::double
        from events group by 1 order by 1
    """)
    raw = real.rows(f"""
        select strftime(transaction_timestamp, '%Y-%m') as month, sum(greatest(sales_value - coupon_disc, 0))
        from raw_transactions_sample inner join raw_products as products using (product_id)
        where quantity > 0 and not {NO_NAME} and not {FUEL}
            and coalesce(product_type, '') not in {NO_PRODUCT} and department <> 'COUPON'
        group by 1 order by 1
    """)
    assert len(feed) == 12
    assert [month for month, _ in feed] == [month for month, _ in raw]
    assert [paid for _, paid in feed] == pytest.approx([paid for _, paid in raw], abs=0.2)


def test_feeds_are_as_they_are_defined(real: Converted) -> None:
    for feed in ("events", "items", "users", "campaigns", "campaign_contacts"):
        columns = {row[0] for row in real.rows(f"describe {feed}")} - {"day"}
        assert columns <= set(FEEDS[feed].column_names)
        assert set(FEEDS[feed].required) <= columns
    assert real.rows("select count(*) from events where event_at::date <> day") == [(0,)]
    assert real.rows("select count(*) from events where quantity <= 0 or unit_price < 0") == [(0,)]
    assert real.rows("select count(*) from items where title is null or price::double <= 0") == [(0,)]
    assert real.rows("select count(*) from campaign_contacts where contacted_at::date <> day") == [(0,)]
    assert real.rows("select count(*), min(starts_on = day::varchar) from campaigns") == [(27, True)]
    assert real.rows("select count(*) from campaign_contacts") == [(6_589,)]


def test_items_and_users_are_known_on_the_day_of_their_first_event(real: Converted) -> None:
    for feed, key in (("items", "item_id"), ("users", "user_id")):
        late = real.rows(f"""
            select count(*), count(*) filter (told <= acted)
            from (select {key}, min(day) as acted from events group by 1)
            left join (select {key}, min(day) as told from {feed} group by 1) using ({key})
        """)
        assert late[0][0] == late[0][1] > 2_000


def test_nothing_of_the_demographics_is_told(real: Converted) -> None:
    files = [path.name for path in real.feeds.rglob("*") if path.is_file()]
    assert not [name for name in files if "demographic" in name]
    assert {row[0] for row in real.rows("describe users")} == {"user_id", "language", "day"}


# ---- a made-up shop

EVENING, NEXT, LATER = (datetime(2017, 6, 5, 21, 0), datetime(2017, 6, 6, 9, 0), datetime(2017, 6, 9, 9, 0))
TRANSACTIONS = [
    # household, store, basket, product, quantity, sales_value, coupon_disc, coupon_match_disc, time
    ("7", "3", "b1", "milk", 2.0, 5.0, 1.0, 0.5, EVENING),
    ("7", "3", "b1", "gas", 9000.0, 21.0, 0.0, 0.0, EVENING),
    ("7", "3", "b1", "gift", 1.0, 25.0, 0.0, 0.0, EVENING),
    ("7", "3", "b1", "???", 1.0, 1.0, 0.0, 0.0, EVENING),
    ("7", "3", "b1", "bare", 1.0, 1.0, 0.0, 0.0, EVENING),
    ("7", "3", "b1", "soap", 0.0, 0.0, 2.0, 0.0, EVENING),
    ("8", "4", "b2", "milk", 1.0, 2.75, 0.0, 0.0, NEXT),
    ("8", "4", "b3", "milk", 1.0, 0.0, 0.0, 0.0, LATER),
    ("8", "4", "b3", "soap", 1.0, 0.5, 0.75, 0.0, LATER),
    ("8", "4", "b3", "kiwi", 1.0, 1.0, 0.0, 0.0, NEXT),
    ("8", "4", "b4", "kiwi", 1.0, 3.0, 0.0, 0.0, LATER),
]
PRODUCTS = [
    ("milk", "69", "GROCERY", "Private", "FLUID MILK", "FLUID MILK  WHITE ONLY", "1 GA"),
    ("soap", "12", "DRUG GM", "National", "HAND SOAP", None, None),
    ("kiwi", "2", "PRODUCE", "National", "FRUIT", "KIWI FRUIT", None),
    ("gas", "1", "FUEL", "Private", "FUEL", "GASOLINE-REG UNLEADED", None),
    ("gift", "1", "MISCELLANEOUS", "National", "COUPON/MISC ITEMS", "MASTERCARD GIFT CARD", None),
    ("bare", "1", "MISCELLANEOUS", "National", None, None, None),
    ("never", "1", "GROCERY", "National", "CHEESE", "CHEESE", None),
]
MADE_UP: dict[str, list[tuple[Any, ...]]] = {
    "transactions_sample": TRANSACTIONS,
    "products": PRODUCTS,
    "campaigns": [("11", "7"), ("11", "9"), ("12", "8")],
    "campaign_descriptions": [
        ("11", "Type A", date(2017, 6, 1), date(2017, 6, 30)),
        ("12", "Type B", date(2017, 6, 9), date(2017, 6, 30)),
    ],
    "coupons": [("c1", "milk", "11"), ("c1", "never", "11"), ("c2", "milk", "11"), ("c3", "soap", "12")],
    "coupon_redemptions": [
        ("7", "c1", "11", EVENING.date()),
        ("8", "c3", "12", LATER.date()),
        ("8", "c3", "12", NEXT.date()),
    ],
}


def raw_folder(folder: Path, **changed: list[tuple[Any, ...]]) -> Path:
    folder.mkdir()
    for name, (_, columns) in FILES.items():
        rows = (MADE_UP | changed)[name.removesuffix(".parquet")]
        values = zip(*rows, strict=True)
        pq.write_table(pa.table(dict(zip(columns, map(pa.array, values), strict=True))), folder / name)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Converted:
    return Converted(raw_folder(tmp_path / "raw"), tmp_path / "feeds")


def test_events_with_known_answers(small: Converted) -> None:
    assert small.report["lines"] == {
        "purchase": 6,
        "unknown_product": 1,
        "nameless_product": 1,
        "fuel": 1,
        "no_product": 1,
        "no_quantity": 1,
    }
    found = small.rows("""
        select
            event_id, event_at::timestamp, user_id, item_id, quantity, unit_price, campaign_id, region, session_id
        from events order by event_id
    """)
    utc = datetime(2017, 6, 6, 1, 0)  # summer time in New York is four hours behind
    assert found[0] == ("b1-milk", utc, "7", "milk", Decimal(2), Decimal(2), "11", "store 3", "b1")
    prices = {row[0]: (row[5], row[6]) for row in found}
    # What a coupon is worth above its product is not paid out.
    assert prices["b3-soap"] == (Decimal(0), "12")
    # One redemption of soap has no line that day.
    assert small.report["redemptions"] == {"told_by_a_purchase": 2, "no_line": 1}
    assert small.rows("select distinct event_type, currency from events") == [("purchase", "USD")]
    assert small.report["lines_that_cost_nothing"] == 2


def test_items_with_known_answers(small: Converted) -> None:
    assert small.rows(
        "select item_id, title, category_path, brand from items where day = '2017-06-06' order by 1"
    ) == [
        ("kiwi", "Kiwi Fruit", "Produce > Fruit > Kiwi Fruit", "Manufacturer 2"),
        ("milk", "Fluid Milk White Only, 1 GA", "Grocery > Fluid Milk > Fluid Milk White Only", "Store brand"),
    ]
    assert small.rows("select item_id, price, day from items order by item_id, day") == [
        # A kiwi is weighed: the median of what was paid so far.
        ("kiwi", "1.0000", date(2017, 6, 6)),
        ("kiwi", "2.0000", date(2017, 6, 9)),
        # Two lines of the day cost 2.75 with the card, whoever had a coupon; the free one tells no price.
        ("milk", "2.7500", date(2017, 6, 6)),
        ("soap", "0.5000", date(2017, 6, 9)),
    ]
    assert small.report["products"] == {"items": 3, "without_an_event": 4}


def test_campaigns_contacts_and_users_with_known_answers(small: Converted) -> None:
    assert small.rows(
        "select campaign_id, starts_on, ends_on, campaign_type, item_ids from campaigns order by 1"
    ) == [
        ("11", "2017-06-01", "2017-06-30", "coupon", "milk"),
        ("12", "2017-06-09", "2017-06-30", "coupon", "soap"),
    ]
    contacts = small.rows(
        "select campaign_id, user_id, contacted_at::timestamp from campaign_contacts order by 1, 2"
    )
    assert contacts == [
        ("11", "7", datetime(2017, 6, 1, 16)),
        ("11", "9", datetime(2017, 6, 1, 16)),
        ("12", "8", datetime(2017, 6, 9, 16)),
    ]
    assert small.rows("select user_id, language, day from users order by 1") == [
        ("7", "en", date(2017, 6, 1)),
        ("8", "en", date(2017, 6, 6)),
        ("9", "en", date(2017, 6, 1)),
    ]


def test_a_contact_of_no_known_campaign_is_counted_and_not_told(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw", campaigns=[("11", "7"), ("99", "7")])
    assert Converted(raw, tmp_path / "feeds").report["contacts"] == {"told": 1, "unknown_campaign": 1}


@pytest.mark.parametrize(
    ("register", "shown"),
    [
        ("KID'S CEREAL", "Kid's Cereal"),
        ("BREAD:ITALIAN/FRENCH", "Bread:Italian/French"),
        ("A  B", "A B"),
        (None, ""),
    ],
)
def test_a_registers_words_as_a_shopper_reads_them(register: str | None, shown: str) -> None:
    assert shown_name(register) == shown


def test_again_changes_nothing_and_another_source_is_refused(tmp_path: Path) -> None:
    raw, feeds = raw_folder(tmp_path / "raw"), tmp_path / "feeds"
    report = convert(raw, feeds)
    written = {path: path.stat().st_mtime_ns for path in feeds.rglob("*")}
    assert convert(raw, feeds) == report
    assert {path: path.stat().st_mtime_ns for path in feeds.rglob("*")} == written
    with pytest.raises(StepError, match="was filled by"):
        convert(raw_folder(tmp_path / "other", campaigns=[("11", "7")]), feeds)


def test_two_conversions_are_byte_identical(tmp_path: Path) -> None:
    raw = raw_folder(tmp_path / "raw")
    convert(raw, tmp_path / "one")
    convert(raw, tmp_path / "two")
    one = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")}
    two = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.*")}
    assert one == two
    assert len(one) > 8


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"does not hold transactions_sample\.parquet, products\.parquet"):
        convert(tmp_path, tmp_path / "feeds")
    raw = raw_folder(tmp_path / "raw")
    (raw / "coupons.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(StepError, match=r"coupons\.parquet cannot be read"):
        convert(raw, tmp_path / "feeds1")
    pq.write_table(pa.table({"coupon_upc": ["1"]}), raw / "coupons.parquet")
    with pytest.raises(StepError, match="no column product_id, campaign_id"):
        convert(raw, tmp_path / "feeds2")
    with pytest.raises(StepError, match="11 lines of transactions, but 14 accounted for"):
        convert(
            raw_folder(tmp_path / "twice", products=[*PRODUCTS, PRODUCTS[0]]),
            tmp_path / "feeds3",
        )
