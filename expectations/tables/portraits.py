"""Outputs of the portray step: what is believed of users, of segments, of items."""

from __future__ import annotations

from expectations.tables.shape import Table, columns

PORTRAITS = (
    Table(
        "user_traits",
        "One thing believed of a user, with what it rests on.",
        ("user_id", "trait", "subject"),
        columns(
            "user_id! string | Pseudonym.",
            "trait! string | lifecycle_stage, taste_segment, category_affinity, brand_affinity, "
            "price_level, "
            "purchase_rhythm, next_purchase, active_weekday, active_hour, platform, bargain_seeking, "
            "novelty_seeking, review_sentiment, cold_start.",
            "subject! string | What the trait is about: the category, the brand; all where it is about the user.",
            "value! string | The trait in a word or a number with its unit.",
            "strength double | The trait as a number, where it is one; its meaning stands in the table's page.",
            "confidence! double | How sure, 0 to 1; grows with evidence and fades without.",
            "source! string | measured (counted) or model (estimated).",
            "evidence! string | What it rests on, in words and numbers, in English.",
            "evidence_zh! string | The same in Chinese.",
            "evidence_count! integer | Actions, orders or reviews that it rests on.",
            "valid_from_at! timestamp | First evidence (UTC).",
            "valid_to_at timestamp | When it will have faded out if nothing feeds it; null where it does "
            "not fade.",
        ),
    ),
    Table(
        "user_profiles",
        "What the portray step adds to a user's features: one row per user of user_features.",
        ("user_id",),
        columns(
            "user_id! string | Pseudonym.",
            "taste_segment! string | Segment found by clustering what users act on; see taste_segments.",
            "average_days_between_orders double | Typical days between two order days, the user's own "
            "drawn to "
            "everyone's where there are few.",
            "next_purchase_expected_on date | Day by which the next order is due by that rhythm, past where it is "
            "late; null without one.",
            "active_weekday string | Weekday (the shop's time zone) with most actions, monday to sunday; null "
            "where weekdays tell too little.",
            "price_level double | Where the prices of what is bought stand among those of the same "
            "category: 0 "
            "cheapest, 1 dearest.",
            "bargain_seeking double | Share of what is bought below its usual price, drawn to everyone's share.",
            "novelty_seeking double | Share of the items acted on that were new to the catalogue (30 "
            "days), drawn "
            "to everyone's share.",
            "review_sentiment double | Mean sentiment of the user's reviews, -1 to 1.",
            "portrait_text! string | The portrait in English, written from the traits alone.",
            "portrait_text_zh! string | The portrait in Chinese, written from the traits alone.",
        ),
    ),
    Table(
        "taste_segments",
        "One segment of users found by clustering, described by what sets it apart.",
        ("taste_segment",),
        columns(
            "taste_segment! string | Id, kept from day to day.",
            "name! string | Plain name in English.",
            "name_zh! string | Plain name in Chinese.",
            "description! string | What sets it apart from everyone, in English, with numbers.",
            "description_zh! string | The same in Chinese.",
            "users! integer | Users in it.",
            "share! double | Share of all users.",
            "average_order_value double | Money of purchases per order.",
            "orders_90d double | Orders a user in the last 90 days.",
            "top_category string | Category with the largest lift.",
            "top_category_lift double | Its share here over its share everywhere.",
            "top_brand string | Brand with the largest lift.",
            "top_brand_lift double | Its share here over its share everywhere.",
        ),
    ),
    Table(
        "item_portraits",
        "What the system thinks of an item: one row per item of the catalogue.",
        ("item_id",),
        columns(
            "item_id! string | Item.",
            "title! string | Name.",
            "category string | First level of category_path.",
            "brand string | Brand.",
            "price double | Price, in the shop's currency.",
            "price_band string | low, mid or high by terciles of the catalogue's prices.",
            "is_active! boolean | May be shown: is_active of the feed, and stock not 0.",
            "popularity! double | Purchases and actions of the last 90 days, halved every 14 days.",
            "popularity_rank! integer | 1 is the most popular.",
            "trend double | Purchases a day of the last 7 days over those of the 23 days before, smoothed; 1 is "
            "steady; null in an item's first two weeks.",
            "views_30d! integer | Views and clicks in the last 30 days.",
            "purchases_30d! integer | Purchase lines in the last 30 days.",
            "conversion double | Purchase lines of 30 days per view, smoothed towards the shop's own.",
            "return_rate double | Pieces returned over pieces bought, all time.",
            "reviews! integer | Reviews.",
            "review_rating double | Mean stars, 1 to 5.",
            "review_sentiment double | Mean sentiment of its reviews, -1 to 1.",
            "keywords string | Its most telling phrases, joined by ', '.",
            "buyer_segment string | Taste segment that buys it more than others do, most of all.",
            "buyer_segment_lift double | That segment's share of its buyers over its share of all buyers.",
            "is_cold_start! boolean | Fewer than 5 actions ever.",
        ),
    ),
)
