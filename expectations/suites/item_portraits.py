"""Item portraits: one an item, with figures that can be."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, one_of, published_suite

_MODEL = "See the report and the log of the portray step, and ml/portraits/item_portraits.py."

ITEM_PORTRAITS = published_suite(
    "item_portraits",
    "item portrait",
    one_of("Every price band is known", "price_band", ("low", "mid", "high"), _MODEL),
    between("No popularity is below zero", "popularity", 0, None, _MODEL),
    between("Every trend is above zero", "trend", 0, None, _MODEL, above=True),
    between("No conversion is below zero", "conversion", 0, None, _MODEL),
    between("No return rate is below zero", "return_rate", 0, None, _MODEL),
    between("No number of reviews is below zero", "reviews", 0, None, _MODEL),
    between("Every mean of stars is of 1 to 5", "review_rating", 1, 5, _MODEL),
    between("Every sentiment is of -1 to 1", "review_sentiment", -1, 1, _MODEL),
    between("Every segment named buys it more than others", "buyer_segment_lift", 1, None, _MODEL, above=True),
    FigureCheck(
        "Every item of the catalogue has a portrait, and nothing else has",
        from_sql("""
            select count(*) filter (where items.item_id is null or portraits.item_id is null), count(*),
                min(coalesce(items.item_id, portraits.item_id))
                    filter (where items.item_id is null or portraits.item_id is null)
            from published.item_portraits as portraits
            full outer join features.item_features as items on portraits.item_id = items.item_id
        """),
        "items",
        "The portraits are of another run than the features: run portray and tables again for this day.",
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Popularity ranks are 1 to the number of items, each once",
        from_sql("""
            select
                count(*) - count(distinct popularity_rank) + coalesce(abs(max(popularity_rank) - count(*)), 0),
                count(*)
            from published.item_portraits
        """),
        "ranks otherwise",
        _MODEL,
        low=0,
        high=0,
        column="popularity_rank",
    ),
    FigureCheck(
        "Every segment named is a taste segment",
        from_sql("""
            with segments as (select taste_segment from published.taste_segments)
            select
                count(*) filter (
                    where buyer_segment is not null and buyer_segment not in (select taste_segment from segments)
                ),
                count(*),
                min(buyer_segment) filter (where buyer_segment not in (select taste_segment from segments))
            from published.item_portraits
        """),
        "items",
        _MODEL,
        low=0,
        high=0,
        column="buyer_segment",
    ),
)
