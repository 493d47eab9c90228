"""Feeds: what a shop hands over. One folder a feed; CSV, JSON Lines or Parquet; one file or more a day."""

from __future__ import annotations

from expectations.tables.shape import Table, columns

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
RULE_ACTIONS = ("block", "pin", "boost")

FEEDS: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "events",
            "One action of one person (or of nobody known) in the shop.",
            ("event_id",),
            columns(
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
            columns(
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
            columns(
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
            columns(
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
            "merchandising_rules",
            "One rule of the shop on what its lists show. Where item_id, category_path and brand are given "
            "together, it is about what is all of them.",
            ("rule_id",),
            columns(
                "rule_id! string | Id.",
                "action! string | block (never shown), pin (shown at a place, to all who may see it) or boost "
                "(score multiplied, among what the model considers).",
                "item_id string | The item that it is about; a pin needs one.",
                "category_path string | The category that it is about, with all below it.",
                "brand string | The brand that it is about.",
                "surface string | Where it holds: home; empty is everywhere.",
                "position integer | Place of a pinned item, from 1; a pin needs one.",
                "factor double | What a boosted score is multiplied by, above 0; a boost needs one.",
                "starts_on date | First day on which shoppers see it; empty: the day after the file's.",
                "ends_on date | Last day on which shoppers see it; the way to take a rule back. Empty: until a "
                "later file ends it.",
            ),
        ),
        Table(
            "campaign_contacts",
            "One user told of one campaign.",
            ("campaign_id", "user_id", "contacted_at"),
            columns(
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
            columns(
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
            columns(
                "user_id! string | Whom.",
                "requested_at! timestamp | When the wish was spoken.",
            ),
        ),
    )
}

#: Feeds that tell how something stands: a later file replaces the row with the same key.
STATE_FEEDS = ("items", "users", "campaigns", "merchandising_rules", "erasure_requests")
#: Feeds that tell what happened: rows are added and never change.
ACTION_FEEDS = ("events", "campaign_contacts", "reviews")
#: Without these nothing can run; what else is missing switches off what depends on it.
REQUIRED_FEEDS = ("events", "items")
