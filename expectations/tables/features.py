"""Features: dbt's marts that models read, in `features.duckdb`, all as of one day."""

from __future__ import annotations

from expectations.tables.shape import Table, columns

FEATURES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "user_actions",
            "Every action of a consenting, human, known user on a known item up to the as-of date, but "
            "impressions and searches: the sequences that recommenders learn from.",
            ("event_id",),
            columns(
                "event_id! string | Action.",
                "user_id! string | Pseudonym.",
                "item_id! string | Item.",
                "event_type! string | view, click, cart, favorite, purchase, rating, dismiss or return.",
                "event_at! timestamp | When (UTC).",
                "event_date! date | UTC day.",
                "session_id string | Session.",
                "quantity double | Pieces.",
                "amount double | quantity x unit_price, in the shop's currency.",
            ),
        ),
        Table(
            "user_searches",
            "One search of a consenting, human, known user in the last 365 days, and the item chosen after it in "
            "the same session. Only shops that log searches have rows.",
            ("event_id",),
            columns(
                "event_id! string | Search.",
                "user_id! string | Pseudonym.",
                "query! string | What was searched for, with single blanks.",
                "event_at! timestamp | When (UTC).",
                "event_date! date | UTC day.",
                "session_id string | Session.",
                "chosen_item_id string | Of the items acted on after it, before the next search, the one of which "
                "most became in the session, the nearest of equals; null where none was.",
                "choice string | What became of it: purchase, cart, favorite, click or view.",
                "chosen_at timestamp | First action on it after the search (UTC).",
            ),
        ),
        Table(
            "later_purchases",
            "What the same users bought in the 7 days after the as-of date, where those days exist: only "
            "model_metrics may read it, no model and no published list does.",
            ("event_id",),
            columns(
                "event_id! string | Action.",
                "user_id! string | Pseudonym.",
                "item_id! string | Item.",
                "event_at! timestamp | When (UTC).",
                "event_date! date | UTC day.",
            ),
        ),
        Table(
            "user_features",
            "One user who may be personalised: consenting, human, not erased, registered or seen.",
            ("user_id",),
            columns(
                "user_id! string | Pseudonym.",
                "registered_on date | Day of registration, where the shop keeps it.",
                "language string | zh or en, where the shop keeps it.",
                "region string | Region.",
                "first_seen_on date | First action.",
                "last_seen_on date | Last action.",
                "days_since_last_purchase integer | Days from the last purchase to the as-of date.",
                *[
                    f"orders_{w}d! integer | Orders in the last {w} days (an order is one user's purchases in "
                    "one session)."
                    for w in (7, 30, 90, 365)
                ],
                *[
                    f"amount_spent_{w}d! double | Money spent in the last {w} days, less returns, in the "
                    "shop's currency."
                    for w in (7, 30, 90, 365)
                ],
                "orders_total! integer | Orders ever.",
                "amount_spent_total! double | Money ever spent, less returns.",
                "average_order_value double | Money of purchases per order, over all time.",
                "actions_90d! integer | Actions of any kind but impressions in the last 90 days.",
                "favorite_category string | First level of category_path, by weighted actions of 365 days.",
                "favorite_brand string | Brand, by weighted actions of 365 days.",
                "price_band string | low, mid or high: the median price bought, by terciles of the catalogue's "
                "prices.",
                "active_hour integer | Hour of day (the shop's time zone) with most actions.",
                "platform string | Platform used most.",
                "lifecycle_stage! string | visitor, new, active, loyal, at_risk, dormant (rules in the model).",
                "segment! string | Plain name from recency, frequency and money.",
                "confidence! double | Evidence behind the portrait, 0 to 1: 1 - exp(-actions / 20).",
                "is_cold_start! boolean | Fewer than 3 actions.",
            ),
        ),
        Table(
            "item_features",
            "One item of the catalogue as of the day, active or not.",
            ("item_id",),
            columns(
                "item_id! string | Item.",
                "title! string | Name.",
                "category_path string | Categories, general to special.",
                "category string | First level of category_path.",
                "brand string | Brand.",
                "price double | Price, in the shop's currency.",
                "price_band string | low, mid or high by terciles of the catalogue's prices.",
                "stock integer | Pieces at hand.",
                "is_active! boolean | May be shown: is_active of the feed, and stock not 0.",
                "created_on date | Day it entered the catalogue: the feed's, else the day first seen.",
                "item_text! string | What the text encoder reads: title, brand, categories, description.",
                "text_hash! string | SHA-256 of item_text, hex.",
                *[f"views_{w}d! integer | Views and clicks in the last {w} days." for w in (7, 30)],
                *[
                    f"purchases_{w}d! integer | Purchase lines in the last {w} days, anonymous ones too."
                    for w in (7, 30, 90, 365)
                ],
                "buyers_90d! integer | Different known buyers in the last 90 days.",
                "return_rate double | Pieces returned over pieces bought, all time.",
                "popularity! double | Purchases and actions of the last 90 days, halved every 14 days.",
                "is_cold_start! boolean | Fewer than 5 actions ever.",
            ),
        ),
        Table(
            "user_impressions",
            "How often a user was shown an item in the last 14 days without acting on it since: what tells "
            "that an "
            "item was seen too often. Only shops that log impressions have rows.",
            ("user_id", "item_id"),
            columns(
                "user_id! string | Pseudonym.",
                "item_id! string | Item.",
                "impressions_14d! integer | Times shown in the last 14 days since the user's last action on "
                "the item.",
                "last_shown_on! date | Last day shown.",
            ),
        ),
        Table(
            "price_drops",
            "One active item whose price fell in the last 14 days below all that it cost in the 30 days before, "
            "by the versions of the items feed.",
            ("item_id",),
            columns(
                "item_id! string | Item.",
                "price! double | Price now, in the shop's currency.",
                "price_before! double | Lowest price in the 30 days before it became what it is now.",
                "dropped_on! date | Day of the version that brought the price of now.",
                "price_drop! double | Share of the price before that was taken off, above 0.05.",
            ),
        ),
        Table(
            "user_days",
            "How often a user acted in one hour of one day on one platform: when and where somebody shops.",
            ("user_id", "event_date", "local_date", "event_hour", "platform"),
            columns(
                "user_id! string | Pseudonym.",
                "event_date! date | UTC day, one of the last 365.",
                "local_date! date | Day in the shop's time zone.",
                "event_hour! integer | Hour of the day in the shop's time zone, 0 to 23.",
                "platform! string | Platform; unknown where the shop keeps none.",
                "actions! integer | Actions of any kind but impressions.",
            ),
        ),
        Table(
            "usual_prices",
            "What an item usually cost on a day on which somebody bought it, by the versions of the items feed.",
            ("item_id", "event_date"),
            columns(
                "item_id! string | Item.",
                "event_date! date | Day of a purchase, one of the last 365.",
                "usual_price! double | Median over the days of the 90 days up to it, in the shop's currency.",
                "days_known! integer | Days of these 90 of which the price is known.",
            ),
        ),
        Table(
            "item_reviews",
            "One review of a known item, with its writer where he or she may be personalised.",
            ("review_id",),
            columns(
                "review_id! string | Review.",
                "item_id! string | Item.",
                "user_id string | Pseudonym; null where the writer may not be personalised.",
                "created_at! timestamp | When (UTC).",
                "rating double | Stars, 1 to 5.",
                "text string | The words.",
            ),
        ),
        Table(
            "region_items",
            "The items bought most in a region, for users who live there; only regions with enough buyers.",
            ("region", "rank"),
            columns(
                "region! string | Region, as in user_features.",
                "rank! integer | From 1; at most 100.",
                "item_id! string | Active item.",
                "score! double | Time-weighted purchases of the region's users.",
            ),
        ),
        Table(
            "active_campaigns",
            "One active item covered by a campaign that runs on the day after the as-of date, when pages made "
            "from this are shown; as known on the as-of date.",
            ("campaign_id", "item_id"),
            columns(
                "campaign_id! string | Campaign.",
                "item_id! string | Active item that it covers, by itself or by its category.",
                "campaign_name! string | Name of the campaign, as the shop wrote it.",
                "campaign_type string | Kind: discount, coupon, new_arrivals, ...",
                "channel string | push, sms, email, home_page, ...",
                "starts_on! date | First day.",
                "ends_on! date | Last day.",
            ),
        ),
        Table(
            "active_rules",
            "One rule of the shop that holds on the day after the as-of date, when pages made from this are "
            "shown; as known on the as-of date: what its lists never show, show at a place, or push.",
            ("rule_id",),
            columns(
                "rule_id! string | Rule.",
                "action! string | block, pin or boost.",
                "item_id string | Item that it is about.",
                "category_path string | Category that it is about, with all below it.",
                "brand string | Brand that it is about.",
                "surface string | Where it holds: home; null is everywhere.",
                "position integer | Place of a pinned item, from 1.",
                "factor double | What a boosted item's score is multiplied by.",
                "starts_on date | First day; null: always has held.",
                "ends_on date | Last day; null: holds until it is taken back.",
            ),
        ),
        Table(
            "segment_items",
            "The items a segment acts on most: for new users, and a candidate source; 'all' is everyone.",
            ("segment", "rank"),
            columns(
                "segment! string | Segment of user_features, or all.",
                "rank! integer | From 1; at most 200.",
                "item_id! string | Active item.",
                "score! double | Time-weighted actions of the segment's users, anonymous ones in 'all'.",
            ),
        ),
    )
}
