"""Lists around items: alike, and hot in a segment."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, one_of, published_suite

_RECOMMENDER = "See the report and the log of the recommend step, and ml/recommender."
_HOT = "See dbt_project/models/marts/features/segment_items.sql."

SIMILAR_ITEMS = published_suite(
    "similar_items",
    "similar item",
    between("Every rank is of 1 to 20", "rank", 1, 20, _RECOMMENDER),
    one_of("Every reason is known", "reason_code", ("bought_together", "similar_text"), _RECOMMENDER),
    FigureCheck(
        "No item is similar to itself",
        from_sql("""
            select count(*) filter (where item_id = similar_item_id), count(*),
                min(item_id) filter (where item_id = similar_item_id)
            from published.similar_items
        """),
        "items",
        _RECOMMENDER,
        low=0,
        high=0,
        column="similar_item_id",
    ),
    FigureCheck(
        "Every list is of an item in the catalogue, and shows active items",
        from_sql("""
            with judged as (
                select
                    similar_item_id,
                    item_id in (select item_id from features.item_features)
                    and similar_item_id in (select item_id from features.item_features where is_active) as is_known
                from published.similar_items
            )
            select count(*) filter (where not is_known), count(*), min(similar_item_id) filter (where not is_known)
            from judged
        """),
        "rows",
        _RECOMMENDER,
        low=0,
        high=0,
        column="similar_item_id",
    ),
    FigureCheck(
        "Every list is ranked from 1 without gaps",
        from_sql("""
            with lists as (
                select item_id, count(*) as items, count(distinct similar_item_id) as different, max(rank) as last
                from published.similar_items
                group by item_id
            )
            select count(*) filter (where last <> items or different <> items), coalesce(sum(items), 0),
                min(item_id) filter (where last <> items or different <> items)
            from lists
        """),
        "lists with gaps or an item twice",
        _RECOMMENDER,
        low=0,
        high=0,
        column="rank",
    ),
)

HOT_ITEMS = published_suite(
    "hot_items",
    "hot item",
    between("Every rank is of 1 to 200", "rank", 1, 200, _HOT),
    FigureCheck(
        "There is a list for everyone",
        from_sql("select count(*) filter (where segment = 'all'), count(*) from published.hot_items"),
        "items in segment all",
        "No item had any action: new users would get nothing. Check the events feed.",
        low=1,
        column="segment",
    ),
    FigureCheck(
        "Every hot item is in the catalogue and active",
        from_sql("""
            with active as (select item_id from features.item_features where is_active)
            select count(*) filter (where item_id not in (select item_id from active)), count(*),
                min(item_id) filter (where item_id not in (select item_id from active))
            from published.hot_items
        """),
        "rows",
        _HOT,
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Every list is ranked from 1 without gaps",
        from_sql("""
            with lists as (
                select segment, count(*) as items, count(distinct item_id) as different, max(rank) as last
                from published.hot_items
                group by segment
            )
            select count(*) filter (where last <> items or different <> items), coalesce(sum(items), 0),
                min(segment) filter (where last <> items or different <> items)
            from lists
        """),
        "lists with gaps or an item twice",
        _HOT,
        low=0,
        high=0,
        column="rank",
    ),
)
