"""Sessions for shops that keep none: a user's actions without a pause of 30 minutes."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

PAUSE_SECONDS = 30 * 60


def with_sessions(events: DataFrame) -> DataFrame:
    """Give `session_id` to sound rows of a known user that came without.

    A session lies within one UTC day and within what arrived on one day: so late rows never change the
    sessions of rows known before. The id is a hash of user, arrival and the session's first moment.
    """
    needs_one = F.col("reason").isNull() & F.col("user_id").isNotNull() & F.col("session_id").isNull()
    # All others are groups of one, or the rows of nobody would be sorted as one big group.
    owner = F.when(needs_one, F.col("user_id")).otherwise(F.concat_ws("#", "source_file", F.col("row_number")))
    window = Window.partitionBy("owner", "event_date", "arrived_on").orderBy("event_at", "event_id")
    pause = F.unix_micros("event_at") - F.unix_micros(F.lag("event_at").over(window))
    starts = pause.isNull() | (pause > PAUSE_SECONDS * 1_000_000)
    with_start = (
        events.withColumn("owner", owner)
        .withColumn("starts", starts)
        .withColumn(
            "session_start", F.last(F.when(F.col("starts"), F.col("event_at")), ignorenulls=True).over(window)
        )
    )
    made = F.substring(
        F.sha2(F.concat_ws("|", "user_id", "arrived_on", F.unix_micros("session_start").cast("string")), 256),
        1,
        32,
    )
    session_id = F.when(needs_one, made).otherwise(F.col("session_id"))
    return with_start.withColumn("session_id", session_id).select(*events.columns)
