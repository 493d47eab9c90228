"""UCI Online Retail (Daqing Chen; 2010-12-01 to 2011-12-09) as feeds: events and items.

Every raw line becomes exactly one of these, the first that applies, and `convert` asserts that they add up:

  service_line      set aside  postage, carriage, fees, discounts, manual postings, samples, bad debt, vouchers:
                               not products (SERVICE_CODES), whether sold or cancelled
  stock_correction  set aside  negative quantity without a cancellation: breakage, recounts
  no_price          set aside  unit price 0 (or less): gifts, goods found, opening stock
  return            event      an invoice that begins with C (a cancellation); its quantity turned positive
  purchase          event      everything else

Two equal lines of one invoice are two lines: an event's id is `<invoice>-<line within the invoice>`, so the money
of the feed is that of the raw file. A line without CustomerID is an anonymous event (empty user_id). The same
product's code is written both `85123a` and `85123A`: codes are upper-cased. The raw times are the shop's clock
(Europe/London) and become UTC.

Items are told day by day, as a shop would: an item comes with its first event, and again on a day on which its
title or price changes. The title is the description used most often so far on paid lines (ties: the one used
last, then the alphabet); clerks' notes such as "ebay", "damaged", "?" stand on unpaid lines only, so they are no
titles. The price is that of the day's last sale; empty until the first.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feeds.adapters.daily_files import parquet_bytes, write_daily
from feeds.prepared_folder import SET_ASIDE, PreparedFolder, sha256_of
from qianmian.step import StepError

log = logging.getLogger("qianmian")

FILE = "online_retail.parquet"
COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
#: Raise it with every change to what the files hold: a folder made by another version is refused, not mixed.
VERSION = 1

#: Upper-cased stock codes that are no product. Two hide among the product numbers: 23444 is "Next Day Carriage",
#: 22016 a gift voucher. A voucher is a means of payment, sold once and spent later on products.
SERVICE_CODES = (
    *("POST", "DOT", "C2", "23444"),  # postage and carriage
    *("BANK CHARGES", "AMAZONFEE", "CRUK"),  # fees and the charity's commission
    *("M", "D", "S", "B"),  # manual posting, discount, samples, bad debt
    *(f"GIFT_0001_{pounds}" for pounds in (10, 20, 30, 40, 50)),
    "22016",
)
KINDS = ("purchase", "return", "service_line", "stock_correction", "no_price")

_LINES = """
create table lines as
with raw as (
    select
        *,
        file_row_number as raw_row,
        upper(trim("StockCode")) as item_id,
        row_number() over (partition by "InvoiceNo" order by file_row_number) as line,
        timezone('UTC', timezone('Europe/London', "InvoiceDate")) as event_at
    from read_parquet($path, file_row_number = true)
)
select
    raw_row,
    "InvoiceNo" as invoice,
    "InvoiceNo" || '-' || line as event_id,
    event_at,
    event_at::date as event_date,
    coalesce("CustomerID"::bigint::varchar, '') as user_id,
    item_id,
    nullif(regexp_replace(trim("Description"), '\\s+', ' ', 'g'), '') as description,
    "Quantity" as raw_quantity,
    "UnitPrice"::decimal(18, 4) as unit_price,
    "Country" as region,
    case
        when list_contains($service_codes, item_id) then 'service_line'
        when "InvoiceNo" not like 'C%' and "Quantity" <= 0 then 'stock_correction'
        when "UnitPrice" <= 0 then 'no_price'
        when "InvoiceNo" like 'C%' then 'return'
        else 'purchase'
    end as kind
from raw
"""

_EVENTS = """
select
    event_id,
    timezone('UTC', event_at) as event_at,
    user_id,
    kind as event_type,
    item_id,
    invoice as session_id,
    abs(raw_quantity)::decimal(18, 3) as quantity,
    unit_price,
    'GBP' as currency,
    region,
    event_date
from lines
where kind in ('purchase', 'return')
order by event_date, event_at, raw_row
"""

_SET_ASIDE = """
select
    kind as reason,
    raw_row + 1 as row_number,
    event_id,
    timezone('UTC', event_at) as event_at,
    user_id,
    item_id,
    description,
    raw_quantity as quantity,
    unit_price,
    region
from lines
where kind not in ('purchase', 'return')
order by raw_row
"""

# An item's state on each day on which an event names it; rows that repeat the state before are left out.
_ITEMS = """
with used as (
    select item_id, description, event_date, count(*) as times, max(event_at) as last_used
    from lines
    where kind in ('purchase', 'return') and description is not null
    group by all
),
so_far as (
    select
        item_id, description, event_date, last_used,
        sum(times) over (partition by item_id, description order by event_date) as times
    from used
),
days as (
    select
        item_id,
        event_date,
        arg_max(unit_price, (event_at, raw_row)) filter (where kind = 'purchase') as day_price
    from lines
    where kind in ('purchase', 'return')
    group by all
),
descriptions as (
    select distinct item_id, description from used
),
candidates as (
    select days.item_id, days.event_date, so_far.description, so_far.times, so_far.last_used
    from days
    inner join descriptions on days.item_id = descriptions.item_id
    asof join so_far
        on descriptions.item_id = so_far.item_id
        and descriptions.description = so_far.description
        and days.event_date >= so_far.event_date
),
titles as (
    select item_id, event_date, description as title
    from candidates
    qualify row_number() over (
        partition by item_id, event_date order by times desc, last_used desc, description
    ) = 1
),
states as (
    select
        item_id,
        event_date,
        -- A paid line without a description has never been seen; its code is then all there is to call it by.
        coalesce(title, item_id) as title,
        last_value(day_price ignore nulls) over (
            partition by item_id order by event_date rows between unbounded preceding and current row
        ) as price
    from days
    left join titles using (item_id, event_date)
)
select item_id, title, price, 'GBP' as currency, event_date
from states
qualify (title, price) is distinct from lag((title, price)) over (partition by item_id order by event_date)
order by event_date, item_id
"""


def convert(source: Path, feeds: Path) -> dict[str, Any]:
    """Write the feeds `events` (Parquet) and `items` (CSV), a file a day, and return the counts by name.

    `source` is the Parquet file or its folder. All days of the file are written, whatever day the run works for:
    reading nothing later than that day is the readers' business. Raises StepError if the file is missing,
    unreadable or lacks a column.
    """
    path = source / FILE if source.is_dir() else source
    if not path.is_file():
        raise StepError(f"{path} is not there", f"let --source name the folder that holds {FILE}, or the file")
    folder = PreparedFolder(feeds, "online_retail", {"version": VERSION, "source_sha256": sha256_of(path)})
    report = folder.claim()
    if report is not None:
        log.info("prepare: %s is there already, from this very file", feeds)
        return report
    connection = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
    connection.execute("set TimeZone = 'UTC'")
    try:
        _read(connection, path)
        report = _count(connection, path)
        report["files"] = _write_days(connection, folder)
        _write_set_aside(connection, folder)
    finally:
        connection.close()
    folder.finish(report)
    log.info("prepare: %s", report)
    return report


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Classify every raw line into the table `lines`."""
    try:
        present = set(pq.read_schema(path).names)
        missing = [column for column in COLUMNS if column not in present]
        if missing:
            raise StepError(
                f"{path}: no column {', '.join(missing)}", f"the columns needed are {', '.join(COLUMNS)}"
            )
        connection.execute(_LINES, {"path": str(path), "service_codes": list(SERVICE_CODES)})
    except (pa.ArrowInvalid, duckdb.Error) as error:
        raise StepError(
            f"{path} cannot be read: {str(error).splitlines()[0]}",
            "fetch the file again; it must be the whole data set as one Parquet file",
        ) from error


def _count(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Any]:
    """Count lines by kind, and make sure that every raw line is one of them."""
    counts = dict.fromkeys(KINDS, 0)
    cancelled = dict.fromkeys(KINDS, 0)
    anonymous = 0
    rows = connection.execute(
        "select kind, count(*), count(*) filter (invoice like 'C%'), count(*) filter (user_id = '') "
        "from lines group by kind order by kind"
    ).fetchall()
    for kind, lines, of_cancellations, without_customer in rows:
        counts[kind], cancelled[kind] = lines, of_cancellations
        anonymous += without_customer
    raw_lines = pq.read_metadata(path).num_rows
    if sum(counts.values()) != raw_lines:
        raise StepError(
            f"{path}: {raw_lines} lines, but {sum(counts.values())} accounted for: {counts}",
            "this is a defect of the adapter: report it with the file",
        )
    return {
        "raw_lines": raw_lines,
        "lines": counts,
        "events": counts["purchase"] + counts["return"],
        "set_aside": {kind: counts[kind] for kind in KINDS[2:]},
        "lines_of_cancellations": {kind: n for kind, n in cancelled.items() if n},
        "lines_without_customer": anonymous,
    }


def _write_days(connection: duckdb.DuckDBPyConnection, folder: PreparedFolder) -> int:
    """Write both feeds day by day and return the number of files."""
    events = connection.sql(_EVENTS).to_arrow_table()
    items = connection.sql(_ITEMS).to_arrow_table()
    return write_daily(folder, "events", events, "event_date", "parquet") + write_daily(
        folder, "items", items, "event_date", "csv"
    )


def _write_set_aside(connection: duckdb.DuckDBPyConnection, folder: PreparedFolder) -> None:
    folder.write(f"{SET_ASIDE}/online_retail.parquet", parquet_bytes(connection.sql(_SET_ASIDE).to_arrow_table()))
