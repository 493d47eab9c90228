"""Every table of the system: its name, its key, its partition, its columns.

This is the leaf of the import tree: it imports nothing of the project, and whoever reads or writes a
table takes its shape from here. dbt's contracts (`dbt_project/models/**.yml`) and the suites
(`expectations/suites/`) are held equal to it by `tests/contracts/`.

A column's type is one of: string, timestamp (UTC), date, boolean, integer (64 bit), double,
decimal(p,s), embedding (a fixed-size list of float32; only ever inside the lake).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_DUCKDB_TYPES = {"string": "VARCHAR", "timestamp": "TIMESTAMP", "integer": "BIGINT"}


@dataclass(frozen=True)
class Column:
    """One column: `required` means the feed must bring the column, or that a table's value is never null."""

    name: str
    type: str
    description: str
    required: bool = False

    @property
    def duckdb_type(self) -> str:
        """The type in DuckDB's words. Timestamps are UTC by contract and stored without a zone."""
        return _DUCKDB_TYPES.get(self.type) or self.type.upper()


@dataclass(frozen=True)
class Table:
    """One table: one row per `key`; `partition` is the column by which the lake splits it into files."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    partition: str | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the columns that must be there (feeds) or are never null (tables)."""
        return tuple(column.name for column in self.columns if column.required)


def _columns(*lines: str) -> tuple[Column, ...]:
    """Read `name! type | description` lines; the exclamation mark stands for required."""
    columns = []
    for line in lines:
        head, description = line.split("|", 1)
        name, type_ = head.split()
        columns.append(Column(name.rstrip("!"), type_, description.strip(), name.endswith("!")))
    return tuple(columns)


EVENT_TYPES = (
    "impression",
    "view",
    "search",
    "click",
    "cart",
    "favorite",
    "purchase",
    "rating",
    "dismiss",
    "return",
)
PLATFORMS = ("web", "ios", "android", "mini_program")

# --------------------------------------------------------------------------------------------------
# Feeds: what a shop hands over. One folder a feed; CSV, JSON Lines or Parquet; one file or more a day.

FEEDS: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "events",
            "One action of one person (or of nobody known) in the shop.",
            ("event_id",),
            _columns(
                "event_id! string | Unique id of the action.",
                "event_at! timestamp | When it happened (UTC where no offset is given).",
                "user_id! string | Who did it; the column must be there, an empty value is an anonymous "
                "visitor: counted for items, never for a user.",
                f"event_type! string | One of {', '.join(EVENT_TYPES)}.",
                "item_id string | The item acted on.",
                "campaign_id string | The campaign it came through.",
                "session_id string | The shop's own session, where it keeps one.",
                "query string | What was searched for.",
                "quantity decimal(18,3) | Pieces bought or returned (positive).",
                "unit_price decimal(18,4) | Price of one piece, in `currency`.",
                "currency string | ISO 4217 code.",
                "rating double | Stars given, 1 to 5.",
                f"platform string | One of {', '.join(PLATFORMS)}.",
                "region string | Region of the visitor, the shop's own naming.",
                "recommendation_id string | The published recommendation this action answers to.",
            ),
            partition="event_date",
        ),
        Table(
            "items",
            "One product, as it is on the day of the file.",
            ("item_id",),
            _columns(
                "item_id! string | The shop's id of the product.",
                "title! string | Name as shown to shoppers, Chinese or English.",
                "description string | Longer text.",
                "category_path string | Categories from general to special, joined by ' > '.",
                "brand string | Brand.",
                "price decimal(18,4) | Price now, in `currency`.",
                "currency string | ISO 4217 code.",
                "stock integer | Pieces at hand.",
                "is_active boolean | May be shown and sold; empty means yes.",
                "image_url string | Picture.",
                "created_at timestamp | When it entered the catalogue.",
            ),
        ),
        Table(
            "users",
            "One registered user, as on the day of the file.",
            ("user_id",),
            _columns(
                "user_id! string | The shop's id of the user; a pseudonym everywhere past landing.",
                "registered_at timestamp | When the account was opened.",
                "language string | zh or en.",
                "region string | Region, the shop's own naming.",
                "has_personalization_consent boolean | May behaviour be used; empty means no.",
                "has_marketing_consent boolean | May be contacted; empty means no.",
            ),
        ),
        Table(
            "campaigns",
            "One marketing activity.",
            ("campaign_id",),
            _columns(
                "campaign_id! string | Id.",
                "name! string | Name.",
                "starts_on! date | First day.",
                "ends_on! date | Last day.",
                "description string | What it offers.",
                "campaign_type string | Kind: discount, coupon, new_arrivals, ...",
                "channel string | push, sms, email, home_page, ...",
                "item_ids string | Items covered, joined by '|'.",
                "category_paths string | Categories covered, joined by '|'.",
            ),
        ),
        Table(
            "campaign_contacts",
            "One user told of one campaign.",
            ("campaign_id", "user_id", "contacted_at"),
            _columns(
                "campaign_id! string | Campaign.",
                "user_id! string | User.",
                "contacted_at! timestamp | When.",
                "channel string | Through what.",
            ),
            partition="contacted_on",
        ),
        Table(
            "reviews",
            "One review of one item.",
            ("review_id",),
            _columns(
                "review_id! string | Id.",
                "user_id! string | Who wrote it.",
                "item_id! string | About what.",
                "created_at! timestamp | When.",
                "rating double | Stars, 1 to 5.",
                "text string | The words.",
            ),
            partition="created_on",
        ),
        Table(
            "erasure_requests",
            "One user to forget.",
            ("user_id", "requested_at"),
            _columns(
                "user_id! string | Whom.",
                "requested_at! timestamp | When the wish was spoken.",
            ),
        ),
    )
}

#: Feeds that tell how something stands: a later file replaces the row with the same key.
STATE_FEEDS = ("items", "users", "campaigns", "erasure_requests")
#: Feeds that tell what happened: rows are added and never change.
ACTION_FEEDS = ("events", "campaign_contacts", "reviews")
#: Without these nothing can run; what else is missing switches off what depends on it.
REQUIRED_FEEDS = ("events", "items")

# --------------------------------------------------------------------------------------------------
# Clean: the lake's record. Same columns, typed, user ids as pseudonyms, plus where each row came from.

_PROVENANCE = _columns(
    "arrived_on! date | Day of the file that brought the row: a run for a day reads nothing that arrived later.",
    "source_file! string | Landed file, `<feed>/<path>`.",
    "row_number! integer | Row in that file, counted from 1 without the header.",
)


def _clean(feed: str, *more: str) -> Table:
    table = FEEDS[feed]
    partition = table.partition or "arrived_on"
    return Table(feed, table.description, table.key, table.columns + _columns(*more) + _PROVENANCE, partition)


CLEAN: dict[str, Table] = {
    table.name: table
    for table in (
        _clean("events", "event_date! date | UTC day of event_at."),
        # One row per version: key + arrived_on; a row stands until a later one with the same key.
        _clean("items"),
        _clean("users"),
        _clean("campaigns"),
        _clean("campaign_contacts", "contacted_on! date | UTC day of contacted_at."),
        _clean("reviews", "created_on! date | UTC day of created_at."),
        _clean("erasure_requests"),
        Table(
            "bots",
            "One visitor found to be a machine, from the day it was found.",
            ("user_id",),
            _columns(
                "user_id! string | Pseudonym.",
                "arrived_on! date | Day from which it is known: that of the file that gave it away.",
                "rule! string | Rule that found it.",
                "evidence! string | What was seen, in numbers.",
            ),
            partition="arrived_on",
        ),
        Table(
            "quarantine",
            "One rejected row: nothing is lost, nothing is silent.",
            ("source_file", "row_number", "reason"),
            _columns(
                "feed! string | Feed.",
                "source_file! string | Landed file, `<feed>/<path>`.",
                "row_number! integer | Row in that file, counted from 1 without the header.",
                "reason! string | Why, as a short code: malformed, missing:<column>, wrong_type:<column>, "
                "unknown_value:<column>, out_of_range:<column>, future_time, unknown_item, unknown_user, "
                "duplicate, line_too_long, ...",
                "raw! string | The row as it came (the user id replaced by its pseudonym).",
                "arrived_on! date | Day of the file.",
            ),
            partition="feed",
        ),
    )
}

# --------------------------------------------------------------------------------------------------
# Features: dbt's marts that models read, in `features.duckdb`, all as of one day.

FEATURES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "user_actions",
            "Every action of a consenting, human, known user on a known item up to the as-of date, but "
            "impressions and searches: the sequences that recommenders learn from.",
            ("event_id",),
            _columns(
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
            "later_purchases",
            "What the same users bought in the 7 days after the as-of date, where those days exist: only "
            "model_metrics may read it, no model and no published list does.",
            ("event_id",),
            _columns(
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
            _columns(
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
                "active_hour integer | Hour of day (UTC) with most actions.",
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
            _columns(
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
            "How often a user was shown an item in the last 14 days without acting on it since: what tells that an "
            "item was seen too often. Only shops that log impressions have rows.",
            ("user_id", "item_id"),
            _columns(
                "user_id! string | Pseudonym.",
                "item_id! string | Item.",
                "impressions_14d! integer | Times shown in the last 14 days since the user's last action on the item.",
                "last_shown_on! date | Last day shown.",
            ),
        ),
        Table(
            "price_drops",
            "One active item that costs less than it did in the last 14 days, by the versions of the items feed.",
            ("item_id",),
            _columns(
                "item_id! string | Item.",
                "price! double | Price now, in the shop's currency.",
                "price_before! double | Highest price in the 14 days before it became what it is now.",
                "dropped_on! date | Day of the version that brought the price of now.",
                "price_drop! double | Share of the price before that was taken off, above 0.05.",
            ),
        ),
        Table(
            "region_items",
            "The items bought most in a region, for users who live there; only regions with enough buyers.",
            ("region", "rank"),
            _columns(
                "region! string | Region, as in user_features.",
                "rank! integer | From 1; at most 100.",
                "item_id! string | Active item.",
                "score! double | Time-weighted purchases of the region's users.",
            ),
        ),
        Table(
            "segment_items",
            "The items a segment acts on most: for new users, and a candidate source; 'all' is everyone.",
            ("segment", "rank"),
            _columns(
                "segment! string | Segment of user_features, or all.",
                "rank! integer | From 1; at most 200.",
                "item_id! string | Active item.",
                "score! double | Time-weighted actions of the segment's users, anonymous ones in 'all'.",
            ),
        ),
    )
}

# --------------------------------------------------------------------------------------------------
# Outputs: what models write for one day, as Parquet in `outputs/as_of_date=<day>/<table>.parquet`.

_RECOMMENDATION = _columns(
    "user_id! string | Pseudonym: HMAC-SHA256 of the shop's user id.",
    "surface! string | Where it is meant to be shown: home.",
    "rank! integer | Place in the list, from 1.",
    "recommendation_id! string | Names this row in later events' recommendation_id.",
    "item_id! string | What is recommended.",
    "score! double | The model's score; comparable within one user and day only.",
    "probability! double | Calibrated chance that the user buys the item within 7 days.",
    "candidate_source! string | Source with the largest share of the score: item_to_item, text, buy_again, "
    "popular_in_segment, sequence_model.",
    "reason_code! string | because_you_bought, because_you_viewed, similar_text, buy_again, popular_in_segment, "
    "popular.",
    "reason_text! string | The reason in English, written from these columns alone.",
    "reason_text_zh! string | The reason in Chinese, written from these columns alone.",
    "evidence_type! string | item or segment.",
    "evidence_id! string | The item acted on, or the segment, behind the reason.",
    "contribution! double | How much of the score that evidence gave: its loss without the item, or what "
    "popularity alone gives.",
    "is_exploration! boolean | Shown to learn rather than by score.",
    "is_promoted! boolean | Moved up by a rule: a new item, which no count speaks for yet.",
    "propensity! double | Chance with which the policy would show this row: 1 where nothing is random.",
    "experiment_id string | Experiment, where one runs (null until experiments are built).",
    "variant string | Variant of the experiment (null until experiments are built).",
)

OUTPUTS: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "home_recommendations",
            "Up to 20 items for every user, best first.",
            ("user_id", "surface", "rank"),
            _RECOMMENDATION,
        ),
        Table(
            "recommendation_explanations",
            "Why a recommendation stands where it does: its evidence, and the parts that its score is the sum of.",
            ("recommendation_id", "kind", "reason_rank"),
            _columns(
                "recommendation_id! string | Recommendation of home_recommendations.",
                "kind! string | evidence: what the score loses without one past action or without popularity; part: "
                "one of the additive parts of the score.",
                "reason_rank! integer | From 1, largest contribution first.",
                "reason_code! string | As in home_recommendations for evidence; for a part the source that it is of, "
                "or base.",
                "evidence_type! string | item, segment or part.",
                "evidence_id! string | The item acted on, the segment, or the name of the part.",
                "contribution! double | In the unit of `scale`.",
                "scale! string | score: parts add up to the score; log_score: they add up to its logarithm.",
            ),
        ),
        Table(
            "recommendation_filters",
            "What a rule did to an item that the model would have shown to a user, or had to be kept from showing.",
            ("user_id", "surface", "item_id", "rule"),
            _columns(
                "user_id! string | Pseudonym.",
                "surface! string | home.",
                "item_id! string | Item.",
                "rule! string | already_bought, dismissed, returned, not_on_sale, seen_too_often, blocked, pinned, "
                "boosted, brand_cap, category_cap, variety, tail_share, exploration.",
                "action! string | removed, moved_down, moved_up, inserted.",
                "rule_id string | The shop's own rule behind it, where it is one.",
                "rule_version! string | Version of the rules.",
                "rank_before integer | Place by score alone; null where the item had none.",
                "rank_after integer | Place in the list; null where it is not in it.",
                "detail! string | What was seen, in numbers.",
            ),
        ),
        Table(
            "homepage_layouts",
            "The home page of a user: modules from top to bottom, each with its contents; nothing stands twice.",
            ("user_id", "slot"),
            _columns(
                "user_id! string | Pseudonym.",
                "slot! integer | Place on the page, from 1.",
                "module! string | hero_campaign, for_you, buy_again, because_you_viewed, price_drops, new_for_you, "
                "popular_near_you, ad.",
                "module_rank! integer | Place of the module, from 1.",
                "rank! integer | Place within the module, from 1.",
                "module_title! string | Title in English.",
                "module_title_zh! string | Title in Chinese.",
                "content_type! string | item, campaign or ad.",
                "content_id! string | Item, campaign or ad slot.",
                "recommendation_id string | The home recommendation that it is, where it is one.",
                "reason_code! string | Why it stands in this module.",
                "reason_text! string | The reason in English.",
                "reason_text_zh! string | The reason in Chinese.",
                "evidence_type string | item, segment, category, region, price or campaign.",
                "evidence_id string | What the reason rests on.",
                "probability double | Chance that the user buys the item within 7 days, where it is known.",
                "expected_value! double | Value of the slot: its chance, times how likely the place is looked at.",
                "is_exploration! boolean | Shown to learn rather than by score.",
                "propensity! double | Chance with which the policy would show this row: 1 where nothing is random.",
            ),
        ),
        Table(
            "user_traits",
            "One thing believed of a user, with what it rests on.",
            ("user_id", "trait", "subject"),
            _columns(
                "user_id! string | Pseudonym.",
                "trait! string | lifecycle_stage, taste_segment, category_affinity, brand_affinity, price_level, "
                "purchase_rhythm, next_purchase, active_weekday, active_hour, platform, bargain_seeking, "
                "novelty_seeking, review_sentiment, cold_start.",
                "subject! string | What the trait is about: the category, the brand; all where it is about the user.",
                "value! string | The trait in a word or a number with its unit.",
                "strength double | The trait as a number, where it is one; its meaning stands in the table's page.",
                "confidence! double | How sure, 0 to 1; grows with evidence and fades without.",
                "source! string | measured (counted) or model (estimated).",
                "evidence! string | What it rests on, in words and numbers.",
                "evidence_count! integer | Actions, orders or reviews that it rests on.",
                "valid_from_at! timestamp | First evidence (UTC).",
                "valid_to_at timestamp | When it will have faded out if nothing feeds it; null where it does not fade.",
            ),
        ),
        Table(
            "user_profiles",
            "What the portray step adds to a user's features: one row per user of user_features.",
            ("user_id",),
            _columns(
                "user_id! string | Pseudonym.",
                "taste_segment! string | Segment found by clustering what users buy; see taste_segments.",
                "average_days_between_orders double | Typical days between two order days, the user's own drawn to "
                "everyone's where there are few.",
                "next_purchase_expected_on date | Day by which the next order is due by that rhythm; null without one.",
                "active_weekday string | Weekday (UTC) with most actions: monday to sunday.",
                "price_level double | Where the prices of what is bought stand among those of the same category: 0 "
                "cheapest, 1 dearest.",
                "bargain_seeking double | Share of what is bought below its usual price, drawn to everyone's share.",
                "novelty_seeking double | Share of the items acted on that were new to the catalogue (30 days), drawn "
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
            _columns(
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
            _columns(
                "item_id! string | Item.",
                "title! string | Name.",
                "category string | First level of category_path.",
                "brand string | Brand.",
                "price double | Price, in the shop's currency.",
                "price_band string | low, mid or high by terciles of the catalogue's prices.",
                "is_active! boolean | May be shown: is_active of the feed, and stock not 0.",
                "popularity! double | Purchases and actions of the last 90 days, halved every 14 days.",
                "popularity_rank! integer | 1 is the most popular.",
                "trend double | Purchases a day of the last 7 days over those of the 28 days before, smoothed; 1 is "
                "steady.",
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
        Table(
            "similar_items",
            "The items most like an item: bought after it, or alike in words.",
            ("item_id", "rank"),
            _columns(
                "item_id! string | Item looked at.",
                "rank! integer | From 1; at most 20.",
                "similar_item_id! string | Item like it, active.",
                "score! double | Blend of co-occurrence and text similarity.",
                "reason_code! string | bought_together or similar_text: the larger part of the score.",
            ),
        ),
        Table(
            "model_metrics",
            "How good the lists are, on purchases the model did not see.",
            ("protocol", "model", "segment", "metric", "k"),
            _columns(
                "model! string | What was measured.",
                "segment! string | all, or a slice: heavy, light, new (users), head_items, tail_items.",
                "metric! string | recall, ndcg or coverage.",
                "k! integer | Length of the list.",
                "value! double | The figure.",
                "value_low! double | Lower end of its 95% bootstrap interval over users.",
                "value_high! double | Upper end.",
                "baseline_model! string | What it is compared with: popularity.",
                "baseline_value! double | The baseline's figure on the same users.",
                "champion_value double | The figure of the champion that was challenged (protocol promotion; else "
                "null).",
                "users! integer | Users measured.",
                "protocol! string | days_after: the purchases of the 7 days after the as-of date; held_out: the "
                "last 7 days up to it, predicted from the days before; promotion: the week by which the weekly "
                "training last decided.",
                "measured_from! date | First day of the purchases predicted.",
                "measured_to! date | Last day.",
            ),
        ),
        Table(
            "data_quality_results",
            "One check of one table in one run.",
            ("table_name", "check_name"),
            _columns(
                "stage! string | clean (before features) or tables (before publishing).",
                "table_name! string | Table checked.",
                "check_name! string | What is expected, in the business's words.",
                "column_name string | Column, where it is about one.",
                "status! string | passed, warning (failed, recorded) or failed (failed, stops the run).",
                "severity! string | error or warning.",
                "observed string | What was seen.",
                "threshold string | What was asked for.",
                "rows_checked! integer | Rows looked at.",
            ),
        ),
    )
}

# --------------------------------------------------------------------------------------------------
# Published: what BI reads. Every row carries the four columns of _RUN.

_RUN = _columns(
    "as_of_date! date | The day the row stands for: nothing later was read.",
    "run_id! string | The run that made it; see pipeline_runs.",
    "model_version! string | Version of the model or rules behind the row.",
    "generated_at! timestamp | When that run started (UTC).",
)


def _published(table: Table, key: tuple[str, ...] | None = None) -> Table:
    return Table(table.name, table.description, key or table.key, table.columns + _RUN, table.partition)


_PORTRAIT_WINDOWS = tuple(
    c
    for c in FEATURES["user_features"].columns
    if c.name.startswith(("orders_", "amount_spent_")) and not c.name.endswith("_total")
)
_FEATURE = {c.name: c for c in FEATURES["user_features"].columns}

PUBLISHED: dict[str, Table] = {
    table.name: table
    for table in (
        _published(
            Table(
                "user_portraits",
                "What the system thinks of a user: one row per consenting user.",
                ("user_id",),
                (
                    *[_FEATURE[n] for n in ("user_id", "lifecycle_stage", "segment", "days_since_last_purchase")],
                    *_PORTRAIT_WINDOWS,
                    *[
                        _FEATURE[n]
                        for n in (
                            "average_order_value",
                            "favorite_category",
                            "favorite_brand",
                            "price_band",
                            "active_hour",
                            "platform",
                            "language",
                            "region",
                        )
                    ],
                    *OUTPUTS["user_profiles"].columns[1:],
                    *_columns(
                        "churn_probability double | Chance of not buying in the next 90 days "
                        "(null until retention models are built).",
                    ),
                    _FEATURE["confidence"],
                    _FEATURE["is_cold_start"],
                ),
            )
        ),
        _published(OUTPUTS["user_traits"]),
        _published(OUTPUTS["taste_segments"]),
        _published(OUTPUTS["item_portraits"]),
        _published(OUTPUTS["home_recommendations"]),
        _published(OUTPUTS["recommendation_explanations"]),
        _published(OUTPUTS["recommendation_filters"]),
        _published(OUTPUTS["homepage_layouts"]),
        _published(OUTPUTS["similar_items"]),
        _published(
            Table(
                "hot_items",
                "The items a segment acts on most; segment 'all' is everyone.",
                ("segment", "rank"),
                FEATURES["segment_items"].columns,
            )
        ),
        _published(OUTPUTS["model_metrics"]),
        _published(OUTPUTS["data_quality_results"], ("stage", "table_name", "check_name")),
    )
}

#: Kept by the publisher itself, not built by dbt: it tells of refused runs too.
PIPELINE_RUNS = Table(
    "pipeline_runs",
    "One run of the daily job, published or refused.",
    ("run_id",),
    _columns(
        "run_id! string | Airflow's run id.",
        "as_of_date! date | Day it worked for.",
        "status! string | published or refused.",
        "decision! string | What was decided and why, in words.",
        "generated_at! timestamp | When the run started (UTC).",
        "published_at timestamp | When the set was put in place (UTC); null where refused.",
        "is_latest! boolean | Whether the tables now in place are this run's.",
        "last_event_at timestamp | Latest event that the run read.",
        "input_hash string | SHA-256 over the landed files' checksums.",
        "config_hash string | SHA-256 over the run's settings.",
        "model_version string | Versions of the models behind the tables.",
        "rows_in integer | Rows of all feeds read so far.",
        "rows_quarantined integer | Rows of all feeds in quarantine.",
        "published_rows integer | Rows of all published tables.",
        "report string | JSON: each step's own counts and seconds.",
    ),
)

#: Kept by the publisher itself: the tables in place stay those of the last published run, so what stopped
#: a later one stands here.
REFUSED_CHECKS = Table(
    "refused_checks",
    "One check that failed in a run that was refused.",
    ("run_id", "stage", "table_name", "check_name"),
    OUTPUTS["data_quality_results"].columns + _RUN,
)

# --------------------------------------------------------------------------------------------------
# Where things lie in a shop's lake. Every path of the lake is made here.

EVALUATION_DAYS = 7  # days after the as-of date that later_purchases, and so model_metrics, looks at


def landing_dir(lake: Path) -> Path:
    """Raw files as handed over: `landing/<feed>/<file>`, with `landing/manifest.jsonl`."""
    return lake / "landing"


def clean_dir(lake: Path, table: str) -> Path:
    """One clean table: `clean/<table>/_manifest.json` names the Parquet files that stand."""
    return lake / "clean" / table


def features_db(lake: Path) -> Path:
    """The DuckDB file that dbt works in: daily aggregates kept, FEATURES and candidate PUBLISHED tables.

    Opened directly its catalogue is called `features` as the schema is: name tables in full,
    `features.features.item_features` and `features.published.hot_items`.
    """
    return lake / "features.duckdb"


def embeddings_dir(lake: Path, model_version: str) -> Path:
    """Item vectors by content hash, one folder a model version."""
    return lake / "embeddings" / f"model={model_version}"


def outputs_dir(lake: Path, as_of: str) -> Path:
    """What the models wrote for one day: `<table>.parquet`."""
    return lake / "outputs" / f"as_of_date={as_of}"


def history_dir(lake: Path, table: str, as_of: str) -> Path:
    """Published history: `<run_id>.parquet` per run of the day."""
    return lake / "published" / table / f"as_of_date={as_of}"


def run_dir(lake: Path, run_id: str) -> Path:
    """One run's reports: `<step>.json`, and its check page."""
    return lake / "runs" / run_id.replace(":", "-").replace("/", "-")


def recommenders_dir(lake: Path) -> Path:
    """Trained recommenders: `versions/<name>/` (files and about.json), promotions, decisions, training."""
    return lake / "models" / "recommender"


def recommender_training_dir(lake: Path, as_of: str) -> Path:
    """One day's training: its checkpoints while it runs, and `challenger.json`, which names what came of it."""
    return recommenders_dir(lake) / "training" / f"as_of_date={as_of}"


def encoders_dir(lake: Path) -> Path:
    """Fine-tuned text encoders: `versions/<name>/` (model, about.json, model card), promotions, decisions."""
    return lake / "models" / "text_encoder"


def encoder_training_dir(lake: Path, as_of: str) -> Path:
    """One day's fine-tuning: its checkpoint while it runs, and `challenger.json`, which names what came of it."""
    return encoders_dir(lake) / "training" / f"as_of_date={as_of}"
