"""Items: the catalogue, as versions by the day they arrived."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, clean_suite, from_sql, matches
from expectations.suites.handed_over import handed_over

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."

ITEMS = clean_suite(
    "items",
    "item",
    matches(
        "Every title can be read",
        "title",
        r"\S",
        "some letter",
        "Shoppers would be shown a blank: have the shop fill the title.",
        "warning",
    ),
    between("Every price is not negative", "price", 0, None, _CLEANING),
    between(
        "Every stock is not negative",
        "stock",
        0,
        None,
        "Such items count as in stock: have the shop write 0 when none is left.",
        "warning",
    ),
    matches(
        "Every currency is a three letter code",
        "currency",
        "^[A-Z]{3}$",
        "three capital letters",
        "Have the shop write ISO 4217 codes.",
        "warning",
    ),
    FigureCheck(
        "Some item may be sold",
        from_sql("""
            select count(*) filter (where coalesce(is_active, true) and coalesce(stock, 1) <> 0), count(*)
            from current.items
        """),
        "active items",
        "Nothing could be recommended: check that the catalogue has arrived, and its columns is_active and stock.",
        low=1,
    ),
    FigureCheck(
        "Most items have a price",
        from_sql("""
            select count(*) filter (where price is not null) / nullif(count(*), 0), count(*),
                min(item_id) filter (where price is null)
            from current.items
        """),
        "of the items",
        "Price bands and tastes by price rest on it: have the shop fill price.",
        low=0.95,
        severity="warning",
        column="price",
    ),
    FigureCheck(
        "Most items that were sold yesterday may be sold today",
        from_sql("""
            with earlier as (
                select item_id, is_active, stock
                from clean.items
                where arrived_on < getvariable('as_of')
                qualify row_number() over (
                    partition by item_id order by arrived_on desc, source_file desc, row_number desc
                ) = 1
            ),
            sold as (
                select earlier.item_id, coalesce(now.is_active, true) and coalesce(now.stock, 1) <> 0 as is_sold
                from earlier
                inner join current.items as now on earlier.item_id = now.item_id
                where coalesce(earlier.is_active, true) and coalesce(earlier.stock, 1) <> 0
            )
            select count(*) filter (where is_sold) / nullif(count(*), 0), count(*),
                min(item_id) filter (where not is_sold)
            from sold
        """),
        "of the items",
        "A catalogue cut short looks like this: check the day's file of items with the shop.",
        low=0.8,
        severity="warning",
    ),
    *handed_over("items"),
)
