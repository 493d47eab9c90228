"""Actions told twice: the row that arrived first stays."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from expectations.tables import FEEDS

DUPLICATE = "duplicate"


def told_again(known: DataFrame, rows: DataFrame, feed: str) -> DataFrame:
    """Return the keys of `known`, clean rows of any number, that `rows`, a day's, tell again.

    The day's keys go to where the known rows are, once: those stay where they are read, and only what is found
    goes on. `rows` are read for it and must be at hand (persisted).
    """
    key = list(FEEDS[feed].key)
    told = rows.where(F.col("reason").isNull()).select(*key).distinct()
    return F.broadcast(known.select(*key).join(F.broadcast(told), key, "left_semi"))


def with_duplicates(rows: DataFrame, feed: str, known_keys: DataFrame | None) -> DataFrame:
    """Refuse sound rows whose key an earlier row has, in the order (arrived_on, source_file, row_number).

    `known_keys` are the keys of clean rows that arrived before all of `rows`, at least those that some row has.
    What is set aside is not kept, so later days cannot be held against it: a set-aside row makes a duplicate only
    of another on its own day.
    Adds `is_retold`: the row that stays is another file's, as when a file is handed over twice.
    """
    key = FEEDS[feed].key
    is_sound = F.col("reason").isNull()
    is_kept = is_sound & F.col("set_aside").isNull()
    # Only sound rows compare; each of the others is a group of its own, or they would gather under an empty key.
    own = F.concat_ws("#", "source_file", F.col("row_number"))
    name = F.when(is_sound, F.to_json(F.struct(*key)) if len(key) > 1 else F.col(key[0])).otherwise(own)
    window = Window.partitionBy("dedupe_key").orderBy("arrived_on", "source_file", "row_number")
    earlier = window.rowsBetween(Window.unboundedPreceding, -1)
    keyed = rows.withColumn("dedupe_key", name)
    is_known = F.lit(False)
    if known_keys is not None:
        known = known_keys.select(*[F.col(column).alias(f"known_{column}") for column in key])
        keyed = keyed.join(known, [F.col(column) == F.col(f"known_{column}") for column in key], "left")
        is_known = F.col(f"known_{key[0]}").isNotNull() & is_sound
    kept_in = F.first(F.when(is_kept, F.col("source_file")), ignorenulls=True).over(earlier)
    set_aside_on = F.last(F.when(is_sound & ~is_kept, F.col("arrived_on")), ignorenulls=True).over(earlier)
    is_set_aside_twice = ~is_kept & F.coalesce(set_aside_on == F.col("arrived_on"), F.lit(False))
    marked = keyed.withColumns(
        {
            "is_retold": is_known | F.coalesce(kept_in != F.col("source_file"), F.lit(False)),
            "is_duplicate": is_sound & (is_known | kept_in.isNotNull() | is_set_aside_twice),
        }
    )
    return marked.select(
        *[column for column in rows.columns if column not in ("reason", "set_aside")],
        F.coalesce("reason", F.when(F.col("is_duplicate"), F.lit(DUPLICATE))).alias("reason"),
        F.when(~F.col("is_duplicate"), F.col("set_aside")).alias("set_aside"),
        "is_retold",
    )
