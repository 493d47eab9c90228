"""Clean what tells how things stand: items, users, campaigns, merchandising rules,
erasure requests.

Of each key every version is kept, with the day it arrived on. Rows that break the contract go to quarantine
with their reason. Only files that are new or changed since the last cleaning are read, and what arrived after
them. Comes before clean_actions.
"""

from __future__ import annotations

import argparse
from datetime import date
from typing import Any

from expectations.tables import STATE_FEEDS
from spark_jobs.cleaning import FeedWork, Lake, report, session_for
from spark_jobs.landed import changed_since, plan


def main(args: argparse.Namespace) -> dict[str, Any]:
    """Clean the entities and return the report."""
    lake = Lake(args)
    with lake.held():
        stale = stale_feeds(lake)
        read = {}
        if stale:
            with session_for(stale, lake, args) as spark:
                from spark_jobs import store
                from spark_jobs.forgotten import read_forgotten, with_forgotten, with_forgotten_set_aside
                from spark_jobs.reading.reader import read_raw
                from spark_jobs.settling import settle
                from spark_jobs.transforms.typed import typed, with_raw_of_rejected
                from spark_jobs.transforms.versions import latest_versions, with_versions

                judged = {}
                for one in stale:
                    if one.work.read:
                        standing = store.read_kept(spark, one.folder, one.manifest, one.work.kept)
                        known = latest_versions(standing, one.feed)
                        raw = read_raw(spark, lake.landing, one.feed, one.work.read, lake.key)
                        forgotten = read_forgotten(lake.root, one.feed)
                        rows = with_forgotten(typed(raw, one.feed), one.feed, forgotten)
                        versions = with_forgotten_set_aside(with_versions(rows, one.feed, known), one.feed)
                        judged[one.feed] = with_raw_of_rejected(versions, one.feed)
                read = settle(spark, lake, stale, judged, args.max_quarantined_share, {}, lambda _: [])
        lake.put_empty_tables([*STATE_FEEDS, "quarantine"])
        return report(lake, STATE_FEEDS, read)


def stale_feeds(lake: Lake) -> list[FeedWork]:
    """Return the feeds whose landed files, or whose columns, differ from what was last cleaned."""
    feeds = []
    for feed, files in lake.landed(STATE_FEEDS).items():
        manifest = lake.manifest(feed)
        current = {file.path: file.sha256 for file in files}
        is_anew = lake.is_cleaned_anew(manifest)
        since = date.min if is_anew else changed_since(current, manifest.checksums())
        work = plan(files, manifest.inputs, since)
        if work.is_stale:
            feeds.append(FeedWork(feed, lake.folder(feed), manifest, work))
    return feeds
