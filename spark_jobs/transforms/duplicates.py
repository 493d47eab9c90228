"""Actions told twice: the row that arrived first stays."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

from expectations.tables import FEEDS

DUPLICATE = "duplicate"


def with_duplicates(rows: DataFrame, feed: str, known_keys: DataFrame | None) -> DataFrame:
    """Refuse sound rows whose key an earlier row has, in the order (arrived_on, source_file, row_number).

    `known_keys` are the keys of clean rows that arrived before all of `rows`. Adds `is_retold`: the row that
    stays is another file's, as when a file is handed over twice.
    """
    key = FEEDS[feed].key
    is_sound = F.col("reason").isNull() & F.col("set_aside").isNull()
    own = F.concat_ws("#", "source_file", F.col("row_number"))
    # Only sound rows compare; each of the others is a group of its own, none gathers under an empty key.
    name = F.when(is_sound, F.to_json(F.struct(*key)) if len(key) > 1 else F.col(key[0])).otherwise(own)
    window = Window.partitionBy("dedupe_key").orderBy("arrived_on", "source_file", "row_number")
    keyed = rows.withColumn("dedupe_key", name)
    is_known = F.lit(False)
    if known_keys is not None:
        # Keys are compared as they are written in Parquet; the join brings at most one match a row.
        known = known_keys.select(*[F.col(column).alias(f"known_{column}") for column in key])
        condition = [F.col(column) == F.col(f"known_{column}") for column in key]
        keyed = keyed.join(known, condition, "left")
        is_known = F.col(f"known_{key[0]}").isNotNull() & is_sound
    first_file = F.first("source_file").over(window)
    is_duplicate = is_known | (F.row_number().over(window) > 1)
    marked = keyed.withColumns(
        {
            "is_retold": is_sound & (is_known | (first_file != F.col("source_file"))),
            "is_duplicate": is_duplicate,
        }
    )
    return marked.select(
        *[column for column in rows.columns if column != "reason"],
        F.coalesce("reason", F.when(F.col("is_duplicate"), F.lit(DUPLICATE))).alias("reason"),
        "is_retold",
    )
