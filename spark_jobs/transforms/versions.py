"""State feeds: of everything that files say about a key, what is a version of it."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from expectations.tables import CLEAN, FEEDS

DUPLICATE = "duplicate"
#: Said again on a later day, word for word.
UNCHANGED = "unchanged"
#: Said otherwise later on the same day.
SUPERSEDED = "superseded"


def with_versions(rows: DataFrame, feed: str, known: DataFrame) -> DataFrame:
    """Keep one row per key and day, and that only where it differs from the version before it.

    `rows` are a state feed's, typed; `known` the clean rows that arrived before them. Rows come in the order of
    (arrived_on, source_file, row_number). A row that repeats the one before it on the same day is a duplicate
    (`reason`); one followed by another on the same day is superseded, and one that says what was known is
    unchanged (`set_aside`): neither is a fault, neither is a version.
    """
    table = FEEDS[feed]
    columns = [*CLEAN[feed].column_names, "raw", "reason"]
    before = known.withColumns({"raw": F.lit(None).cast("string"), "reason": F.lit(None).cast("string")})
    everything = rows.select(*columns, F.lit(False).alias("is_known")).unionByName(
        before.select(*columns, F.lit(True).alias("is_known"))
    )
    is_sound = F.col("reason").isNull()
    # Rows that are broken stand by themselves, and so do not gather under an empty key.
    key = F.when(is_sound, F.to_json(F.struct(*table.key))).otherwise(
        F.concat_ws("#", "source_file", F.col("row_number"))
    )
    by_key = Window.partitionBy("key").orderBy("arrived_on", "source_file", "row_number")
    same_day = Window.partitionBy("key", "arrived_on").orderBy("source_file", "row_number")
    later_that_day = same_day.rowsBetween(1, Window.unboundedFollowing)
    earlier = by_key.rowsBetween(Window.unboundedPreceding, -1)
    content = F.struct(*table.column_names)

    keyed = everything.withColumn("key", key).repartition("key")
    compared = keyed.withColumn(
        "repeats",
        is_sound
        & F.lag("arrived_on").over(by_key).eqNullSafe(F.col("arrived_on"))
        & F.lag(content).over(by_key).eqNullSafe(content),
    )
    judged = compared.withColumn(
        "is_superseded",
        ~F.col("repeats") & F.coalesce(F.max(~F.col("repeats")).over(later_that_day), F.lit(False)),
    )
    is_last = ~F.col("repeats") & ~F.col("is_superseded")
    decided = judged.withColumn(
        "is_unchanged",
        is_last & F.last(F.when(is_last, content), ignorenulls=True).over(earlier).eqNullSafe(content),
    )
    return decided.where(~F.col("is_known")).select(
        *CLEAN[feed].column_names,
        "raw",
        F.coalesce("reason", F.when(F.col("repeats"), F.lit(DUPLICATE))).alias("reason"),
        F.when(F.col("is_superseded"), F.lit(SUPERSEDED))
        .when(F.col("is_unchanged"), F.lit(UNCHANGED))
        .alias("set_aside"),
        F.lit(False).alias("is_anonymised"),
        F.lit(False).alias("is_retold"),
    )


def latest_versions(clean: DataFrame, feed: str) -> DataFrame:
    """Return each key's latest row of a clean state table."""
    newest = Window.partitionBy(*FEEDS[feed].key).orderBy(F.desc("arrived_on"))
    return clean.withColumn("age", F.row_number().over(newest)).where("age = 1").drop("age")
