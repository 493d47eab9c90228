"""What was known when a row arrived: items, users, and whether a user consents.

Each function takes the clean entities as DataFrames or None. None means that the shop has no such feed.
Before a feed's first file nothing is asked of it, as nothing can be known.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

UNKNOWN_ITEM = "unknown_item"
UNKNOWN_USER = "unknown_user"
WITHOUT_CONSENT = "without_consent"


def with_known_items(rows: DataFrame, items: DataFrame | None) -> DataFrame:
    """Refuse rows on an item that no file had named by the day the row arrived."""
    if items is None:
        return rows
    first = items.groupBy(F.col("item_id").alias("known_item")).agg(F.min("arrived_on").alias("item_since"))
    since = items.agg(F.min("arrived_on").alias("items_since"))
    joined = rows.join(first, F.col("item_id") == F.col("known_item"), "left").join(F.broadcast(since))
    is_known = F.coalesce(F.col("item_since") <= F.col("arrived_on"), F.lit(False))
    is_asked = F.col("item_id").isNotNull() & (F.col("arrived_on") >= F.col("items_since"))
    reason = F.coalesce("reason", F.when(is_asked & ~is_known, F.lit(UNKNOWN_ITEM)))
    return joined.withColumn("reason", reason).select(*rows.columns)


def with_known_users(rows: DataFrame, users: DataFrame | None) -> DataFrame:
    """Refuse rows of a user whom no file had named by then; add `has_consent`, by the user's version of then.

    Where the users feed has not yet brought has_personalization_consent, nothing was asked and all consent;
    from the day it first does, no answer is a no. Rows of nobody known have a null `has_consent`.
    """
    if users is None:
        return rows.withColumn("has_consent", F.when(F.col("user_id").isNotNull(), F.lit(True)))
    by_user = Window.partitionBy("user_id").orderBy("arrived_on")
    versions = users.select(
        F.col("user_id").alias("known_user"),
        F.col("arrived_on").alias("valid_from"),
        F.lead("arrived_on").over(by_user).alias("valid_until"),
        F.col("has_personalization_consent").alias("answer"),
    )
    since = users.agg(
        F.min("arrived_on").alias("users_since"),
        F.min(F.when(F.col("has_personalization_consent").isNotNull(), F.col("arrived_on"))).alias("asked_since"),
    )
    is_version = (
        (F.col("user_id") == F.col("known_user"))
        & (F.col("arrived_on") >= F.col("valid_from"))
        & (F.col("valid_until").isNull() | (F.col("arrived_on") < F.col("valid_until")))
    )
    joined = rows.join(versions, is_version, "left").join(F.broadcast(since))
    is_unknown = (
        F.col("user_id").isNotNull() & F.col("known_user").isNull() & (F.col("arrived_on") >= F.col("users_since"))
    )
    is_asked = F.coalesce(F.col("arrived_on") >= F.col("asked_since"), F.lit(False))
    has_consent = F.when(F.col("user_id").isNotNull(), ~is_asked | F.coalesce("answer", F.lit(False)))
    return joined.select(
        *[column for column in rows.columns if column != "reason"],
        F.coalesce("reason", F.when(is_unknown, F.lit(UNKNOWN_USER))).alias("reason"),
        has_consent.alias("has_consent"),
    )


def with_consent(rows: DataFrame, feed: str) -> DataFrame:
    """Apply consent to sound rows: an event becomes nobody's, a contact or review is set aside.

    Adds `set_aside` (why a sound row is not written) and `is_anonymised`; takes `has_consent`.
    """
    is_refused = F.col("reason").isNull() & (F.col("has_consent") == F.lit(False))
    is_refused = F.coalesce(is_refused, F.lit(False))
    if feed == "events":
        hidden = {name: F.when(~is_refused, F.col(name)) for name in ("user_id", "session_id")}
        marks = {"set_aside": F.lit(None).cast("string"), "is_anonymised": is_refused}
    else:
        hidden = {}
        marks = {"set_aside": F.when(is_refused, F.lit(WITHOUT_CONSENT)), "is_anonymised": F.lit(False)}
    return rows.select(
        *[hidden.get(name, F.col(name)).alias(name) for name in rows.columns if name != "has_consent"],
        *[mark.alias(name) for name, mark in marks.items()],
    )
