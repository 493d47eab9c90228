"""Clean what has landed: first what tells how things stand, then what happened, in one Spark.

Items, users, campaigns, merchandising rules and erasure requests come first (clean_entities): events, campaign
contacts and reviews (clean_actions) are judged by them. Only files that are new or changed since the last cleaning
are read, and what arrived after them. Each half commits by itself, so that one that is done is not done again
where the other stops. Where nothing is new, Spark is not started.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from expectations.tables import ACTION_FEEDS, STATE_FEEDS
from qianmian.step import run_step
from spark_jobs.clean_actions import clean_actions, stale_actions
from spark_jobs.clean_entities import clean_entities, stale_entities
from spark_jobs.cleaning import Lake, cleaning_parser, report, session_for

if TYPE_CHECKING:
    from spark_jobs.verdicts import FileVerdict


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run the step and return its report."""
    lake = Lake(args)
    with lake.held(), ExitStack() as stack:
        entities = stale_entities(lake)
        # What else is stale once these are clean is known before, so that Spark is started once and for all of it.
        actions = stale_actions(lake, entities)
        read: dict[str, FileVerdict] = {}
        if entities or actions:
            spark = stack.enter_context(session_for([*entities, *actions], lake, args))
            if entities:
                read |= clean_entities(spark, lake, entities, args.max_quarantined_share)
                actions = stale_actions(lake)
            if actions:
                read |= clean_actions(spark, lake, actions, args.max_quarantined_share)
        lake.put_empty_tables([*STATE_FEEDS, *ACTION_FEEDS, "bots", "quarantine"])
        return report(lake, [*STATE_FEEDS, *ACTION_FEEDS], read)


if __name__ == "__main__":
    run_step("clean", main, cleaning_parser(__doc__))
