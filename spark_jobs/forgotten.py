"""Users who were forgotten: none of their rows from before the request comes back, whatever file brings it.

The receipts (`privacy/`) are the list: a pseudonym, and the moment of its request. A row that happened up to that
moment, tells no moment, or came in a file of a day before the request's, is set aside as `forgotten`, and its text
goes with it; so does a broken row that names such a user. What a person of the same id does after the request
counts again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from expectations.tables import FEEDS, receipts_dir
from spark_jobs.landed import ALWAYS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FORGOTTEN = "forgotten"
#: When a row happened, by feed. A user's row counts again by a registration after the request.
MOMENT = {
    "events": "event_at",
    "campaign_contacts": "contacted_at",
    "reviews": "created_at",
    "users": "registered_at",
    "erasure_requests": "requested_at",
}
_PSEUDONYM = "([0-9a-f]{32})"


def read_forgotten(lake: Path, feed: str = "") -> dict[str, datetime]:
    """Return the moment of each forgotten user's last request, UTC, by pseudonym.

    The request itself keeps its user out of every portrait until all else is gone: from the feed of requests only
    those are taken whose receipt is closed.
    """
    receipts = [json.loads(path.read_text()) for path in sorted(receipts_dir(lake).glob("[0-9a-f]*.json"))]
    return {
        receipt["user_id"]: datetime.fromisoformat(receipt["requested_at"])
        for receipt in receipts
        if feed != "erasure_requests" or receipt["forgotten_at"]
    }


def with_forgotten(rows: DataFrame, feed: str, forgotten: Mapping[str, datetime]) -> DataFrame:
    """Give rows of forgotten users the reason `forgotten`, whatever else is wrong with them.

    `rows` are a feed's, typed. A row of after the request is left, unless nobody has told of its user since.
    """
    from pyspark.sql import functions as F

    from spark_jobs.transforms.known import UNKNOWN_USER

    if not forgotten or feed not in MOMENT:
        return rows
    spark = rows.sparkSession
    requests = spark.createDataFrame(
        [(user_id, at.astimezone(UTC)) for user_id, at in sorted(forgotten.items())],
        "forgotten_user string, requested_until timestamp",
    )
    everyone = spark.createDataFrame([(sorted(forgotten),)], "forgotten_users array<string>")
    joined = rows.join(F.broadcast(requests), F.col("user_id") == F.col("forgotten_user"), "left")
    moment, until = F.col(MOMENT[feed]), F.col("requested_until")
    is_before = ~F.coalesce(moment > until, F.lit(False))
    # A time may be wrong; a file of an earlier day was there before the request.
    is_dated = F.col("arrived_on") > F.lit(ALWAYS)
    is_before |= is_dated & (F.col("arrived_on") < F.to_date(until))
    is_before |= is_dated & (F.to_date(moment) > F.date_add("arrived_on", 1))
    is_stray = F.coalesce(F.col("reason") == UNKNOWN_USER, F.lit(False))
    is_theirs = F.col("forgotten_user").isNotNull() & (is_before | is_stray)
    # What could not be read has no column, but its text may name them.
    names_them = F.when(
        F.col("reason").isNotNull() & F.col("user_id").isNull(),
        F.arrays_overlap(F.regexp_extract_all("raw", F.lit(_PSEUDONYM), F.lit(1)), F.col("forgotten_users")),
    )
    reason = F.when(is_theirs | F.coalesce(names_them, F.lit(False)), F.lit(FORGOTTEN)).otherwise(F.col("reason"))
    return joined.crossJoin(F.broadcast(everyone)).withColumn("reason", reason).select(*rows.columns)


def with_forgotten_set_aside(rows: DataFrame, feed: str) -> DataFrame:
    """Set the rows of forgotten users aside: counted, and kept nowhere."""
    from pyspark.sql import functions as F

    if "user_id" not in FEEDS[feed].column_names:
        return rows
    is_theirs = F.coalesce(F.col("reason") == FORGOTTEN, F.lit(False))
    return rows.withColumns(
        {
            "set_aside": F.when(is_theirs, F.lit(FORGOTTEN)).otherwise(F.col("set_aside")),
            "reason": F.when(~is_theirs, F.col("reason")),
        }
    )
