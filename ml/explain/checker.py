"""Hold every reason's words against what is known: nothing may be claimed that is not so.

The texts are read back: each must have the form of its reason code, and the name in it must be the name of the
evidence in its column, in both languages. Then what is claimed is looked up: who is told that they bought
something did, an item called new is. `python -m ml.explain.checker` runs over all rows of a day and ends with an
error where one lies.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow.parquet as pq

from expectations.tables import outputs_dir
from ml.explain import reasons
from ml.explain.reason_rows import FOLLOWS_FROM, NEW_DAYS
from ml.recommender.dataset import connect, last_day_in
from qianmian.step import StepError, run_step, step_parser

log = logging.getLogger(__name__)

COLUMNS = (
    "user_id", "recommendation_id", "item_id", "reason_code", "reason_text", "reason_text_zh", "evidence_type",
    "evidence_id", "contribution", "is_promoted",
)  # fmt: skip
SHOWN = 5  # faults told of in words
Row = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """What reasons may rest on: names by id, and what each user did (pairs of user and item).

    `likes` counts the different items that a user acted on and did not dismiss, by user and category.
    """

    last_day: date
    titles: dict[str, str]
    categories: dict[str, str]
    created_on: dict[str, date]
    segments: dict[str, str]
    bought: set[tuple[str, str]]
    viewed: set[tuple[str, str]]
    likes: Counter[tuple[str, str]] = field(default_factory=Counter)


def load_known(connection: duckdb.DuckDBPyConnection, as_of: str) -> Known:
    """Read it from the features: as many pairs as users have items, in memory."""
    items = connection.execute(
        "select item_id, title, category, created_on from features.features.item_features"
    ).fetchall()
    users = connection.execute("select user_id, segment from features.features.user_features").fetchall()
    done = connection.execute(
        """
        select
            user_id, item_id, bool_or(event_type = 'purchase'),
            bool_or(event_type not in ('purchase', 'dismiss', 'return')), bool_or(event_type = 'dismiss')
        from features.features.user_actions
        group by user_id, item_id
        """
    ).fetchall()
    category = {item: name for item, _, name, _ in items if name is not None}
    return Known(
        last_day_in(connection, as_of),
        {item: title for item, title, _, _ in items},
        category,
        {item: created for item, _, _, created in items if created is not None},
        dict(users),
        {(user, item) for user, item, is_bought, _, _ in done if is_bought},
        {(user, item) for user, item, _, is_viewed, _ in done if is_viewed},
        Counter(
            (user, category[item])
            for user, item, is_bought, is_viewed, is_dismissed in done
            if item in category and not is_dismissed and (is_bought or is_viewed)
        ),
    )


def _form(text: str) -> re.Pattern[str]:
    """Return the pattern of a text that may name its evidence."""
    return re.compile("(.*)".join(re.escape(part) for part in text.split("{evidence}")), re.DOTALL)


_FORMS = {code: (_form(reasons.ENGLISH[code]), _form(reasons.CHINESE[code])) for code in reasons.CODES}
_NAMING = {code: "{evidence}" in reasons.ENGLISH[code] for code in reasons.CODES}
_OF_TYPE = {
    reasons.IN_SEGMENT: "segment",
    reasons.POPULAR: "segment",
    reasons.NEW_IN_CATEGORY: "category",
}


def _names(row: Row, known: Known) -> tuple[str, str] | None:
    """Return the English and Chinese name of the evidence, None where there is no such thing."""
    evidence = row["evidence_id"]
    if row["evidence_type"] == "item":
        title = known.titles.get(evidence)
        return None if title is None else (title, title)
    if row["evidence_type"] == "segment":
        return reasons.segment_names(evidence)
    return evidence, evidence


def _words(row: Row, known: Known) -> Iterator[str]:
    """Yield what is wrong with the texts."""
    code, texts = row["reason_code"], (row["reason_text"], row["reason_text_zh"])
    names = _names(row, known)
    if names is None:
        yield f"its evidence {row['evidence_id']} is in no catalogue"
        return
    is_itself = row["evidence_id"] == row["item_id"]
    if code == reasons.VIEWED and (is_itself or texts == reasons.SEEN_ITSELF):
        if not (is_itself and texts == reasons.SEEN_ITSELF):
            yield "its words and its evidence disagree on whether the item itself was looked at"
        return
    for form, text, name in zip(_FORMS[code], texts, names, strict=True):
        found = form.fullmatch(text)
        if found is None:
            yield f"{text!r} is no text of {code}"
        elif _NAMING[code] and found.group(1) != name:
            yield f"{text!r} names {found.group(1)!r}, its evidence is {name!r}"


def _claims(row: Row, known: Known) -> Iterator[str]:
    """Yield what is claimed and not so."""
    user, item, code, evidence = (row[name] for name in ("user_id", "item_id", "reason_code", "evidence_id"))
    if row["evidence_type"] != _OF_TYPE.get(code, "item"):
        yield f"{code} cannot rest on a {row['evidence_type']}"
    if not row["contribution"] > 0:
        yield "its evidence gave nothing"
    pair = (user, evidence)
    if code in (reasons.BOUGHT, reasons.BUY_AGAIN) and pair not in known.bought:
        yield f"the user never bought {evidence}"
    if code == reasons.BUY_AGAIN and evidence != item:
        yield f"buying {item} again cannot rest on {evidence}"
    if code == reasons.VIEWED and pair not in known.viewed:
        yield f"the user never looked at {evidence}"
    if code == reasons.SIMILAR and pair not in known.bought and pair not in known.viewed:
        yield f"the user never had to do with {evidence}"
    if code in (reasons.SIMILAR, reasons.BOUGHT) and evidence == item:
        yield "an item is no reason for itself"
    if code == reasons.IN_SEGMENT and known.segments.get(user) != evidence:
        yield f"the user is not of the segment {evidence}"
    if code == reasons.POPULAR and evidence != "all":
        yield f"what everyone likes cannot rest on {evidence}"
    if code in (reasons.NEW_IN_CATEGORY, reasons.LITTLE_KNOWN) and not row["is_promoted"]:
        yield "no rule for new items moved it"
    if code == reasons.LITTLE_KNOWN and evidence != item:
        yield f"that {item} is little known cannot rest on {evidence}"
    if code == reasons.NEW_IN_CATEGORY:
        if known.categories.get(item) != evidence:
            yield f"{item} is not of the category {evidence}"
        if known.created_on.get(item, date.min) <= known.last_day - timedelta(days=NEW_DAYS):
            yield f"{item} came more than {NEW_DAYS} days ago"
        if known.likes[user, evidence] < FOLLOWS_FROM:
            yield f"the user does not follow {evidence}"


def faults(rows: Iterable[Row], known: Known) -> Iterator[tuple[Row, str]]:
    """Yield each row of home_recommendations that claims what is not so, with what is wrong, once a claim."""
    for row in rows:
        if row["reason_code"] not in _FORMS:
            yield row, f"{row['reason_code']} is no reason"
            continue
        for check in (_words, _claims):
            for wrong in check(row, known):
                yield row, wrong


def day_rows(args: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of a day's home_recommendations, a batch of the file in memory at a time.

    Raises:
        StepError: the lists were not made.

    """
    path = outputs_dir(args.lake, args.as_of) / "home_recommendations.parquet"
    if not path.is_file():
        raise StepError(f"{path} is not there.", "Make the lists first: python -m ml.recommender.recommend_home")
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(COLUMNS)):
            yield from batch.to_pylist()


def check_reasons(args: argparse.Namespace) -> dict[str, Any]:
    """Check all rows of a day.

    Raises:
        StepError: a reason claims what is not so.

    """
    with connect(args.lake) as connection:
        known = load_known(connection, args.as_of)
    counts: Counter[str] = Counter()

    def counted() -> Iterator[Row]:
        for row in day_rows(args):
            counts[row["reason_code"]] += 1
            yield row

    found = [
        f"{row['recommendation_id']} ({row['reason_code']}): {wrong}" for row, wrong in faults(counted(), known)
    ]
    log.info("%d reasons held against what is known, %d at fault", counts.total(), len(found))
    if found:
        raise StepError(
            f"{len(found)} claims of reasons are not so: {'; '.join(found[:SHOWN])}",
            "See ml/explain and ml/recommender/leave_one_out.py: a reason is written from its evidence alone.",
        )
    return {"reasons": counts.total(), "by_code": dict(sorted(counts.items())), "at_fault": 0}


def main(argv: list[str] | None = None) -> None:
    """Run the check."""
    run_step("check_reasons", check_reasons, step_parser(__doc__), argv)


if __name__ == "__main__":
    main()
