"""Complete Journey (84.51°; a grocer's loyalty panel, 2017) as feeds: events, items, users, campaigns, contacts.

Files of the R package completejourney as Parquet; promotions and demographics are not read: the demographics are
a truth to hold portraits against (bench/portrait_demographics.py), and nothing the shop may know.

Every line of the transactions becomes exactly one of these, the first that applies, and `convert` asserts that
they add up:

  unknown_product   set aside  its product stands in no catalogue
  nameless_product  set aside  a product with neither category nor type: nothing to call it by
  fuel              set aside  gasoline: the quantity is thousandths of a gallon on some pumps and 1 on others
  no_product        set aside  coupons keyed as products, gift cards, sales keyed under a department (NO_PRODUCTS)
  no_quantity       set aside  quantity 0: a coupon or a discount of its own
  purchase          event      everything else

Money. `sales_value` is what the retailer gets: after the loyalty card's discount (retail_disc) and after its match
of coupons (coupon_match_disc), but with what the manufacturer refunds. A household pays sales_value - coupon_disc,
and nothing where a coupon is worth more: that, a piece, is an event's unit price. An item's price is what anyone
with the card pays that day: (sales_value + coupon_match_disc) a piece, of the day's last sale; at the fresh
counters, where a piece is a weighing, the median of all weighings so far.

A coupon's redemption is told by the purchase that it was for: the line gets the campaign's id (where several fit,
the first by id). Without such a line it fits no event, as a purchase needs its item: it is set aside
(no_line). The transactions are a sample, so most are.

Items are the products with an event, told with their first and again on a day with another price. Users are the
households, told with their first event or contact. A campaign is told on its first day, with the items its coupons
are for. When a household was told of it stands nowhere: the campaign's first day at noon is taken. The raw times
are the shops' clock (America/New_York) and become UTC.
"""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.adapters import completejourney_queries as queries
from feeds.adapters.daily_files import parquet_bytes, write_daily
from feeds.prepared_folder import SET_ASIDE, PreparedFolder, sha256_of
from qianmian.step import StepError

log = logging.getLogger("qianmian")

#: The files that are read: the table each becomes, and the columns that are needed.
FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "transactions_sample.parquet": (
        "transactions",
        (
            *("household_id", "store_id", "basket_id", "product_id", "quantity"),
            *("sales_value", "coupon_disc", "coupon_match_disc", "transaction_timestamp"),
        ),
    ),
    "products.parquet": (
        "products",
        (
            *("product_id", "manufacturer_id", "department", "brand"),
            *("product_category", "product_type", "package_size"),
        ),
    ),
    "campaigns.parquet": ("contacts", ("campaign_id", "household_id")),
    "campaign_descriptions.parquet": (
        "descriptions",
        ("campaign_id", "campaign_type", "start_date", "end_date"),
    ),
    "coupons.parquet": ("coupons", ("coupon_upc", "product_id", "campaign_id")),
    "coupon_redemptions.parquet": (
        "redemptions",
        ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    ),
}
#: Raise it with every change to what the files hold: a folder made by another version is refused, not mixed.
VERSION = 1

KINDS = ("purchase", "unknown_product", "nameless_product", "fuel", "no_product", "no_quantity")
#: Product types that are no product of a shelf.
NO_PRODUCTS = (
    "COUPONS/STORE & MFG",
    *("ELECTRONIC GIFT CARDS ACTIVATI", "OUTSIDE VENDORS GIFT CARDS"),
    *("MASTERCARD GIFT CARD", "AMERICAN EXPRESS GIFT CARD"),
    *("MISC SALES TRANS", "PRODUCE DEPT KEY RING", "FLORAL DEPT KEY RING", "CENTRAL SUPPLIES"),
)
#: Departments where a piece is what the scales say.
FRESH = ("PRODUCE", "MEAT", "DELI", "SEAFOOD", "SALAD BAR", "CHEF SHOPPE")


def convert(source: Path, feeds: Path) -> dict[str, Any]:
    """Write the feeds, a file a day, and return the counts by name.

    `source` is the folder of the Parquet files. All days are written, whatever day the run works for: reading
    nothing later than that day is the readers' business. Raises StepError if a file is missing, unreadable or
    lacks a column.
    """
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise StepError(
            f"{source} does not hold {', '.join(missing)}",
            "let --source name the folder with the data set's files",
        )
    digests = "".join(sha256_of(source / name) for name in FILES)
    parameters = {"version": VERSION, "source_sha256": hashlib.sha256(digests.encode()).hexdigest()}
    folder = PreparedFolder(feeds, "completejourney", parameters)
    report = folder.claim()
    if report is not None:
        log.info("prepare: %s is there already, from these very files", feeds)
        return report
    connection = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
    connection.execute("set TimeZone = 'UTC'")
    try:
        _read(connection, source)
        report = _count(connection, source)
        report["files"] = _write(connection, folder)
    finally:
        connection.close()
    folder.finish(report)
    log.info("prepare: %s", report)
    return report


def shown_name(text: str | None) -> str:
    """Return the register's words as a shopper reads them: 'FLUID MILK  WHITE ONLY' is 'Fluid Milk White Only'."""
    words = " ".join((text or "").split())
    return re.sub(r"[A-Za-z]+('[A-Za-z]+)?", lambda word: word[0].capitalize(), words)


def names_of(products: pa.Table) -> pa.Table:
    """Return item_id, title, category_path and maker of the products: what the shop calls them.

    The title is type and package size; the maker is the store brand or the manufacturer's number, which is all
    that the data tell.
    """
    rows = []
    for product in products.to_pylist():
        path = [
            shown_name(product[level])
            for level in ("department", "product_category", "product_type")
            if product[level]
        ]
        size = " ".join((product["package_size"] or "").split())
        is_store_brand = product["brand"] == "Private"
        rows.append(
            {
                "item_id": product["product_id"],
                "title": ", ".join(part for part in (path[-1] if path else "", size) if part),
                "category_path": " > ".join(path),
                "maker": "Store brand" if is_store_brand else f"Manufacturer {product['manufacturer_id']}",
            }
        )
    columns = ("item_id", "title", "category_path", "maker")
    return pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in columns})


def _read(connection: duckdb.DuckDBPyConnection, source: Path) -> None:
    """Read the files into tables, classify the transactions' lines, and find what redemptions were for."""
    for name, (table, columns) in FILES.items():
        path = source / name
        try:
            present = set(pq.read_schema(path).names)
            lacking = [column for column in columns if column not in present]
            if lacking:
                raise StepError(
                    f"{path}: no column {', '.join(lacking)}", f"the columns needed are {', '.join(columns)}"
                )
            rows = connection.read_parquet(str(path), file_row_number=True)
            rows.project(f"file_row_number as raw_row, {', '.join(columns)}").create(table)
        except (pa.ArrowInvalid, duckdb.Error) as error:
            raise StepError(
                f"{path} cannot be read: {str(error).splitlines()[0]}",
                "fetch the file again; it must be a whole Parquet file",
            ) from error
    connection.execute(queries.LINES, {"no_products": [*NO_PRODUCTS]})
    connection.execute(queries.REDEEMED)
    connection.register("names", names_of(connection.table("products").to_arrow_table()))


def _count(connection: duckdb.DuckDBPyConnection, source: Path) -> dict[str, Any]:
    """Count what became what, and make sure that every line and every redemption is one thing."""
    lines = dict.fromkeys(KINDS, 0)
    lines.update(connection.execute("select kind, count(*) from lines group by kind order by kind").fetchall())
    raw_lines = pq.read_metadata(source / "transactions_sample.parquet").num_rows
    if sum(lines.values()) != raw_lines:
        raise StepError(
            f"{source}: {raw_lines} lines of transactions, but {sum(lines.values())} accounted for: {lines}",
            "is a product listed twice in products.parquet? If not, this is a defect of the adapter: report it",
        )

    def count(sql: str) -> int:
        [(found,)] = connection.execute(sql).fetchall()
        return int(found)

    redemptions = count("select count(*) from redemptions")
    told = count("select count(distinct raw_row) from redeemed")
    products = count("select count(*) from products")
    items = count("select count(distinct item_id) from lines where kind = 'purchase'")
    contacts = count("select count(*) from contacts")
    of_known = count("select count(*) from contacts semi join descriptions using (campaign_id)")
    return {
        "raw_lines": raw_lines,
        "lines": lines,
        "events": lines["purchase"],
        "set_aside": {kind: lines[kind] for kind in KINDS[1:]},
        "lines_that_cost_nothing": count(
            "select count(*) from lines where kind = 'purchase' and sales_value <= coupon_disc"
        ),
        "redemptions": {"told_by_a_purchase": told, "no_line": redemptions - told},
        "products": {"items": items, "without_an_event": products - items},
        "contacts": {"told": of_known, "unknown_campaign": contacts - of_known},
        "campaigns": count("select count(*) from descriptions"),
    }


def _write(connection: duckdb.DuckDBPyConnection, folder: PreparedFolder) -> int:
    """Write the feeds day by day, and what is set aside; return the number of files of the feeds."""
    events = connection.sql(queries.EVENTS).to_arrow_table()
    items = connection.sql(queries.ITEMS, params={"fresh": [*FRESH]}).to_arrow_table()
    files = write_daily(folder, "events", events, "event_date", "parquet")
    files += write_daily(folder, "items", items, "event_date", "csv")
    for feed, sql, extension in (
        ("users", queries.USERS, "csv"),
        ("campaigns", queries.CAMPAIGNS, "csv"),
        ("campaign_contacts", queries.CONTACTS, "parquet"),
    ):
        files += write_daily(folder, feed, connection.sql(sql).to_arrow_table(), "day", extension)
    for name, sql in (("transactions", queries.SET_ASIDE), ("coupon_redemptions", queries.REDEMPTIONS_SET_ASIDE)):
        folder.write(f"{SET_ASIDE}/{name}.parquet", parquet_bytes(connection.sql(sql).to_arrow_table()))
    return files
