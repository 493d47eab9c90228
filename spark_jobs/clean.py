"""Clean what has landed: first what tells how things stand, then what happened, in one Spark.

Items, users, campaigns, merchandising rules and erasure requests come first (clean_entities): events, campaign
contacts and reviews (clean_actions) are judged by them. Only files that are new or changed since the last cleaning
are read, and what arrived after them. Each half commits by itself, so that one that is done is not done again
where the other stops. Where nothing is new, Spark is not started.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any

from qianmian.step import run_step
from spark_jobs import clean_actions, clean_entities
from spark_jobs.cleaning import Lake, cleaning_parser, session_for


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Run the step and return its report: counts by feed, and their sums."""
    lake = Lake(args)
    entities = clean_entities.stale_feeds(lake)
    # Other entities may make actions stale that are not yet: those that arrived since the first of them.
    since = min((one.work.since for one in entities), default=None)
    stale = [*entities, *clean_actions.stale_feeds(lake, since)]
    with ExitStack() as stack:
        if stale:
            stack.enter_context(session_for(stale, lake, args))  # both halves find it running
        reports = [half.main(args) for half in (clean_entities, clean_actions)]
    counts = {name: sum(one[name] for one in reports) for name in reports[0] if name != "feeds"}
    return {**counts, "feeds": {feed: counted for one in reports for feed, counted in one["feeds"].items()}}


if __name__ == "__main__":
    run_step("clean", main, cleaning_parser(__doc__))
