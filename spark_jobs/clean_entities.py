"""Clean what tells how things stand: items, users, campaigns, merchandising rules, erasure requests.

Of each key every version is kept, with the day it arrived on. Rows that break the contract go to quarantine
with their reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from expectations.tables import STATE_FEEDS
from spark_jobs.cleaning import FeedWork, Lake
from spark_jobs.landed import changed_since, plan

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_jobs.verdicts import FileVerdict


def stale_entities(lake: Lake) -> list[FeedWork]:
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


def clean_entities(
    spark: SparkSession, lake: Lake, stale: Sequence[FeedWork], max_share: float
) -> dict[str, FileVerdict]:
    """Clean what is stale and commit it; return the files' verdicts. Raises StepError for bad files."""
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
    return settle(spark, lake, stale, judged, max_share, {}, lambda _: [])
