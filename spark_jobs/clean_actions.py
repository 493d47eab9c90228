"""Clean what happened: events, campaign contacts, reviews; and find the bots among the visitors.

Rows are typed, in UTC, each told once, on items and users known by the day they arrived, with consent
applied, with sessions. Rows that break the contract go to quarantine with their reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from expectations.tables import ACTION_FEEDS
from spark_jobs.cleaning import FeedWork, Lake
from spark_jobs.landed import changed_since, plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from spark_jobs.settling import NewTable
    from spark_jobs.verdicts import FileVerdict

#: Feeds that actions are judged by.
JUDGES = ("items", "users")
# Landed files may be packed tenfold: the keys in so much of them still fit beside everything else in a driver.
_A_DAYS_BYTES = 64 << 20


def stale_actions(lake: Lake, entities: Sequence[FeedWork] = ()) -> list[FeedWork]:
    """Return the feeds whose landed files, columns, or the entity files that they were judged by, have changed.

    `entities` are about to be cleaned: what they will make stale is among them.
    """
    about_to_change = [one.work.since for one in entities if one.feed in JUDGES]
    checksums, feeds = _checksums_of_judges(lake), []
    for feed, files in lake.landed(ACTION_FEEDS).items():
        manifest = lake.manifest(feed)
        # A row's verdict rests on its own file, and on the items and users known when it arrived.
        current = {**{file.path: file.sha256 for file in files}, **checksums}
        known = {**manifest.checksums(), **manifest.depends_on}
        since = date.min if lake.is_cleaned_anew(manifest) else changed_since(current, known)
        work = plan(files, manifest.inputs, min([*about_to_change, *([since] if since else [])], default=None))
        if work.is_stale:
            feeds.append(FeedWork(feed, lake.folder(feed), manifest, work))
    return feeds


def _checksums_of_judges(lake: Lake) -> dict[str, str]:
    """Return the checksums, by path, of the files of the entities that actions are judged by."""
    return {path: checksum for feed in JUDGES for path, checksum in lake.manifest(feed).checksums().items()}


def clean_actions(
    spark: SparkSession, lake: Lake, stale: Sequence[FeedWork], max_share: float
) -> dict[str, FileVerdict]:
    """Clean what is stale and commit it; return the files' verdicts. Raises StepError for bad files."""
    from spark_jobs.settling import settle

    def bots(clean: Mapping[str, DataFrame]) -> list[NewTable]:
        return [_bots(spark, lake, one, clean) for one in stale if one.feed == "events"]

    judged = _judged(spark, lake, stale)
    return settle(spark, lake, stale, judged, max_share, _checksums_of_judges(lake), bots)


def _judged(spark: SparkSession, lake: Lake, feeds: Sequence[FeedWork]) -> dict[str, DataFrame]:
    """Judge the rows of each feed's files to read, by the clean entities and the rows that stand."""
    from spark_jobs import store
    from spark_jobs.forgotten import read_forgotten, with_forgotten, with_forgotten_set_aside
    from spark_jobs.reading.reader import read_raw
    from spark_jobs.transforms.duplicates import told_again, with_duplicates
    from spark_jobs.transforms.known import with_consent, with_known_items, with_known_users
    from spark_jobs.transforms.sessions import with_sessions
    from spark_jobs.transforms.typed import typed, with_raw_of_rejected

    def entity(table: str) -> DataFrame | None:
        manifest = lake.manifest(table)
        return store.read_table(spark, lake.folder(table), manifest) if manifest.partitions else None

    items, users, forgotten = entity("items"), entity("users"), read_forgotten(lake.root)
    judged = {}
    for one in feeds:
        if not one.work.read:
            continue
        rows = typed(read_raw(spark, lake.landing, one.feed, one.work.read, lake.key), one.feed)
        if one.feed != "campaign_contacts":
            rows = with_known_items(rows, items)
        rows = with_forgotten(with_known_users(rows, users), one.feed, forgotten)
        rows = with_consent(rows, one.feed)
        known = None
        if one.work.kept:
            known = store.read_kept(spark, one.folder, one.manifest, one.work.kept)
            if sum(file.size for file in one.work.read) <= _A_DAYS_BYTES:
                rows.persist()  # read twice from here on
                known = told_again(known, rows, one.feed)
        rows = with_forgotten_set_aside(with_duplicates(rows, one.feed, known), one.feed)
        rows = with_raw_of_rejected(rows, one.feed)
        judged[one.feed] = with_sessions(rows) if one.feed == "events" else rows
    return judged


def _bots(spark: SparkSession, lake: Lake, events: FeedWork, clean: Mapping[str, DataFrame]) -> NewTable:
    """Make the bots' next state: what was found before stands, what these events give away is added."""
    from spark_jobs import store
    from spark_jobs.settling import NewTable
    from spark_jobs.transforms.bots import find_bots

    manifest = lake.manifest("bots")
    standing = {day for day in manifest.partitions if day < events.work.since.isoformat()}
    found = find_bots(clean["events"]) if "events" in clean else None
    if found is not None and standing:
        known = store.read_table(spark, lake.folder("bots"), manifest, standing)
        found = found.join(known.select("user_id"), "user_id", "left_anti")
    return NewTable(manifest, manifest.partitions.keys() - standing, found)
