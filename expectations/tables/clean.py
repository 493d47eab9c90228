"""Clean: the lake's record. The feeds' columns, typed, user ids as pseudonyms, plus where each row came from."""

from __future__ import annotations

from expectations.tables.feeds import FEEDS
from expectations.tables.shape import Table, columns

_PROVENANCE = columns(
    "arrived_on! date | Day of the file that brought the row: a run for a day reads nothing that arrived later.",
    "source_file! string | Landed file, `<feed>/<path>`.",
    "row_number! integer | Row in that file, counted from 1 without the header.",
)


def _clean(feed: str, *more: str) -> Table:
    table = FEEDS[feed]
    partition = table.partition or "arrived_on"
    return Table(feed, table.description, table.key, table.columns + columns(*more) + _PROVENANCE, partition)


CLEAN: dict[str, Table] = {
    table.name: table
    for table in (
        _clean("events", "event_date! date | UTC day of event_at."),
        # One row per version: key + arrived_on; a row stands until a later one with the same key.
        _clean("items"),
        _clean("users"),
        _clean("campaigns"),
        _clean("merchandising_rules"),
        _clean("campaign_contacts", "contacted_on! date | UTC day of contacted_at."),
        _clean("reviews", "created_on! date | UTC day of created_at."),
        _clean("erasure_requests"),
        Table(
            "bots",
            "One visitor found to be a machine, from the day it was found.",
            ("user_id",),
            columns(
                "user_id! string | Pseudonym.",
                "arrived_on! date | Day from which it is known: that of the file that gave it away.",
                "rule! string | Rule that found it.",
                "evidence! string | What was seen, in numbers.",
            ),
            partition="arrived_on",
        ),
        Table(
            "quarantine",
            "One rejected row: nothing is lost, nothing is silent.",
            ("source_file", "row_number", "reason"),
            columns(
                "feed! string | Feed.",
                "source_file! string | Landed file, `<feed>/<path>`.",
                "row_number! integer | Row in that file, counted from 1 without the header.",
                "reason! string | Why, as a short code: malformed, missing:<column>, wrong_type:<column>, "
                "unknown_value:<column>, out_of_range:<column>, future_time, unknown_item, unknown_user, "
                "duplicate, line_too_long, ...",
                "raw! string | The row as it came (the user id replaced by its pseudonym).",
                "arrived_on! date | Day of the file.",
            ),
            partition="feed",
        ),
    )
}
