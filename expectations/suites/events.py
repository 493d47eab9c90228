"""Events: what people did in the shop."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, clean_suite, from_sql, matches, one_of, pseudonyms
from expectations.suites.handed_over import handed_over
from expectations.tables import EVENT_TYPES, PLATFORMS

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."
_ASK_THE_SHOP = "Ask the shop what changed in its export of events; the lists made from them would mislead."

EVENTS = clean_suite(
    "events",
    "event",
    pseudonyms("No event names a user as the shop does"),
    one_of("Every event is of a kind that is known", "event_type", EVENT_TYPES, _CLEANING),
    one_of("Every event comes from a platform that is known", "platform", PLATFORMS, _CLEANING),
    between("Every quantity is above zero", "quantity", 0, None, _CLEANING, above=True),
    between("Every order line has a price that is not negative", "unit_price", 0, None, _CLEANING),
    between("Every rating is of 1 to 5 stars", "rating", 1, 5, _CLEANING),
    matches(
        "Every currency is a three letter code",
        "currency",
        "^[A-Z]{3}$",
        "three capital letters",
        "Money in a currency that is not the shop's is not counted: have the shop write ISO 4217 codes.",
        "warning",
    ),
    FigureCheck(
        "Every event lies in the partition of its day",
        from_sql("""
            select count(*) filter (where event_date <> event_at::timestamp::date), count(*),
                min(event_id) filter (where event_date <> event_at::timestamp::date)
            from new.events
        """),
        "events elsewhere",
        _CLEANING,
        low=0,
        high=0,
        column="event_date",
    ),
    FigureCheck(
        "No event is from the future of its file",
        from_sql("""
            select count(*) filter (where event_date > arrived_on + 1), count(*),
                min(event_id) filter (where event_date > arrived_on + 1)
            from new.events
        """),
        "events",
        _CLEANING,
        low=0,
        high=0,
        column="event_at",
    ),
    FigureCheck(
        "Every action on an item names the item",
        from_sql("""
            with actions as (
                select event_id, item_id
                from new.events
                where event_type in ('cart', 'favorite', 'purchase', 'rating', 'dismiss', 'return')
            )
            select count(*) filter (where item_id is null), count(*), min(event_id) filter (where item_id is null)
            from actions
        """),
        "events",
        _CLEANING,
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Every purchase has a quantity and a price",
        from_sql("""
            with purchases as (
                select event_id, quantity * unit_price as amount
                from new.events
                where event_type = 'purchase'
            )
            select count(*) filter (where amount is null), count(*), min(event_id) filter (where amount is null)
            from purchases
        """),
        "purchases",
        "They count as orders but not as money: have the shop fill quantity and unit_price.",
        low=0,
        high=0,
        severity="warning",
        column="unit_price",
    ),
    FigureCheck(
        "Events are of items in the catalogue",
        from_sql("""
            with unknown as (
                select item_id from new.events where item_id is not null
                and item_id not in (select item_id from clean.items)
            )
            select (select count(*) from unknown), count(*), (select min(item_id) from unknown)
            from new.events
            where item_id is not null
        """),
        "events",
        "Have the shop hand over these items, in a file of that day or before: actions on them cannot be used.",
        low=0,
        high=0,
        severity="warning",
        column="item_id",
    ),
    FigureCheck(
        "All money is in one currency",
        from_sql("select count(distinct currency), count(currency), max(currency) from new.events"),
        "currencies",
        "Only money in the shop's currency (setting `currency`) is counted: have the shop convert the rest.",
        high=1,
        severity="warning",
        column="currency",
    ),
    FigureCheck(
        "There are events of the day",
        from_sql("select count(*), count(*) from clean.events where event_date = getvariable('as_of')"),
        "events",
        "Check that the day's file has arrived; if it comes late, run the day again.",
        low=1,
        severity="warning",
    ),
    FigureCheck(
        "The day has about as many events as usual",
        from_sql("""
            with days as (
                select event_date, count(*) as events
                from clean.events
                where event_date >= getvariable('as_of') - 28
                group by event_date
            ),
            usual as (
                select case when count(*) >= 7 then median(events) end as events
                from days
                where event_date < getvariable('as_of')
            )
            select
                (select coalesce(sum(events), 0) from days where event_date = getvariable('as_of'))
                / (select events from usual),
                (select sum(events) from days)
        """),
        "times the usual day (the median of four weeks)",
        _ASK_THE_SHOP,
        low=0.3,
        high=3,
        severity="warning",
    ),
    *handed_over("events"),
    may_be_empty=("user_id",),
)
