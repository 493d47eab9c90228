"""Visitors that are machines, by what no person does: rules on pace and volume within one user's day.

Only browsing counts. Purchases, returns and ratings come in lists (a wholesaler's invoice has hundreds of
lines in one minute) and impressions come in screenfuls, so none of them tells of a machine.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

BROWSING = ("view", "search", "click", "cart", "favorite", "dismiss")

# A person may hurry for a minute, but does not open a hundred pages at ten or more in each minute. Actions of
# one kind are counted, as a shop may write a click and a view for the same page.
PACE_ACTIONS = 100
PACE_PER_ACTIVE_MINUTE = 10
# Nobody shops in 20 of a day's 24 hours.
AWAKE_ACTIONS = 60
AWAKE_HOURS = 20
# Nobody looks at this much in a day and puts nothing into the cart.
VOLUME_ACTIONS = 1000


def find_bots(events: DataFrame) -> DataFrame:
    """Return one row for each bot (the table `bots`): its first finding in these clean events.

    What arrived on one day is judged by itself, so a finding never rests on what came later.
    """
    browsing = events.where(F.col("user_id").isNotNull() & F.col("event_type").isin(*BROWSING))
    days = browsing.groupBy("user_id", "arrived_on", "event_date").agg(
        F.count("*").alias("actions"),
        F.greatest(*[F.count_if(F.col("event_type") == kind) for kind in BROWSING]).alias("of_one_kind"),
        F.count_distinct(F.date_trunc("minute", "event_at")).alias("minutes"),
        F.count_distinct(F.hour("event_at")).alias("hours"),
        F.count_if(F.col("event_type").isin("cart", "favorite")).alias("wanted"),
    )
    found = days.select("user_id", "arrived_on", "event_date", *_finding()).where(F.col("rule").isNotNull())
    first = Window.partitionBy("user_id").orderBy("arrived_on", "event_date")
    return (
        found.withColumn("place", F.row_number().over(first))
        .where("place = 1")
        .select("user_id", "arrived_on", "rule", "evidence")
    )


def _finding() -> tuple[Column, Column]:
    day = F.col("event_date").cast("string")
    names = ("actions", "of_one_kind", "minutes", "hours", "wanted")
    actions, of_one_kind, minutes, hours, wanted = (F.col(name) for name in names)
    rules = [
        (
            (of_one_kind >= PACE_ACTIONS) & (of_one_kind >= PACE_PER_ACTIVE_MINUTE * minutes),
            "machine_pace",
            F.format_string("%d actions of one kind in %d minutes on %s", of_one_kind, minutes, day),
        ),
        (
            (actions >= AWAKE_ACTIONS) & (hours >= AWAKE_HOURS),
            "never_asleep",
            F.format_string("%d actions in %d of 24 hours on %s", actions, hours, day),
        ),
        (
            (actions >= VOLUME_ACTIONS) & (wanted == 0),
            "endless_browsing",
            F.format_string("%d actions and nothing wanted on %s", actions, day),
        ),
    ]

    return (
        F.coalesce(*[F.when(holds, F.lit(rule)) for holds, rule, _ in rules]).alias("rule"),
        F.coalesce(*[F.when(holds, evidence) for holds, _, evidence in rules]).alias("evidence"),
    )
