"""What became of each landed file's rows, and whether that lets the run go on."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F  # noqa: N812

from expectations.tables import CLEAN, FEEDS
from qianmian.step import StepError
from spark_jobs.landed import ALWAYS
from spark_jobs.reading.reader import FILE_SEEN

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

log = logging.getLogger(__name__)

#: Below this many bad rows a file goes on, unless all of its rows are bad and there are at least a few.
ENOUGH_BAD_ROWS = 10
ENOUGH_IF_ALL_ARE_BAD = 3
_EXAMPLE_CHARACTERS = 200

_REMEDIES = {
    "malformed": "have the shop write valid rows",
    "line_too_long": "a line may have 1 MiB: have the shop write one row a line",
    "future_time": "the shop's clock or time zone may be wrong: times without an offset are taken as UTC",
    "unknown_item": "hand over the items that the rows name, in a file of that day or before (a catalogue without "
    "a day in its name counts as always known)",
    "unknown_user": "hand over the users that the rows name, in a file of that day or before (a file without a "
    "day in its name counts as always known)",
    "duplicate": "have the shop give each row a key of its own",
}


@dataclass
class FileVerdict:
    """One file's rows by what became of them; `rows` is what the reader counted, independent of the rest."""

    path: str
    rows: int = 0
    columns: list[str] = field(default_factory=list)
    clean: int = 0
    without_consent: int = 0
    retold: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[int, str]] = field(default_factory=dict)
    partitions: set[str] = field(default_factory=set)
    arrived_through: str = ALWAYS.isoformat()

    def counts(self) -> dict[str, Any]:
        """Counts as the manifest holds them: rows = clean + quarantined + what is set aside by name."""
        aside = dict(sorted(self.set_aside.items()))
        if self.without_consent:
            aside["without_consent"] = self.without_consent
        return {
            "rows": self.rows,
            "clean": self.clean,
            "quarantined": dict(sorted(self.quarantined.items())),
            **aside,
        }


def judge(judged: Mapping[str, DataFrame], landing: Path) -> dict[str, FileVerdict]:
    """Count every feed's judged rows by file, in one Spark job.

    Judged rows have the clean table's columns and raw, reason, set_aside, is_anonymised, is_retold. Raises
    StepError for a file that is wrong as a whole.
    """
    is_file = F.col("reason").eqNullSafe(F.lit(FILE_SEEN))
    # A file's last row says what was seen in it, whole; of all others a glimpse is enough.
    example = F.when(is_file, F.col("raw")).otherwise(F.substring("raw", 1, _EXAMPLE_CHARACTERS))
    counted = [
        rows.groupBy("source_file", "reason", "set_aside", "is_anonymised", "is_retold").agg(
            F.count("*").alias("n"),
            F.min("row_number").alias("first_row"),
            F.min_by(example, "row_number").alias("example"),
            F.collect_set(F.col(str(CLEAN[feed].partition)).cast("string")).alias("partitions"),
            F.max(F.when(~is_file, F.col("arrived_on"))).alias("arrived_through"),
        )
        for feed, rows in judged.items()
    ]
    files: dict[str, FileVerdict] = {}
    for row in reduce(lambda left, right: left.unionByName(right), counted).collect():
        _add(files.setdefault(row.source_file, FileVerdict(row.source_file)), row, landing)
    return dict(sorted(files.items()))


def _add(file: FileVerdict, row: Row, landing: Path) -> None:
    """Add one group of a file's rows to its verdict."""
    if row.reason == FILE_SEEN:
        seen = json.loads(row.example)
        if "what" in seen:
            raise StepError(
                f"{landing / file.path} {seen['what']}.",
                f"{seen['remedy']} Nothing of this step was written: put the file right at the source, "
                "and run again.",
            )
        file.rows = row.first_row
        file.columns = seen["columns"]
        return
    file.arrived_through = max(file.arrived_through, row.arrived_through.isoformat())
    if row.reason is not None:
        file.quarantined[row.reason] += row.n
        file.retold += row.n if row.is_retold else 0
        if row.reason not in file.examples or row.first_row < file.examples[row.reason][0]:
            file.examples[row.reason] = (row.first_row, row.example)
    elif row.set_aside is not None:
        file.set_aside[row.set_aside] += row.n
    else:
        file.clean += row.n
        file.without_consent += row.n if row.is_anonymised else 0
        file.partitions.update(row.partitions)


def refuse_bad_files(files: Iterable[FileVerdict], landing: Path, max_share: float) -> None:
    """Raise StepError for the worst file of which more than `max_share` went to quarantine.

    Rows told before by another file do not count: handing a file over twice does no harm. A file with few bad
    rows goes on, as one bad row of two says little.
    """
    worst: tuple[float, FileVerdict] | None = None
    for file in files:
        bad = sum(file.quarantined.values()) - file.retold
        enough = bad >= ENOUGH_BAD_ROWS or ENOUGH_IF_ALL_ARE_BAD <= bad == file.rows
        if enough and bad > max_share * file.rows and (worst is None or bad / file.rows > worst[0]):
            worst = (bad / file.rows, file)
    if worst is None:
        return
    share, file = worst
    reasons = []
    remedies = []
    for reason, count in file.quarantined.most_common(3):
        number, example = file.examples[reason]
        reasons.append(f"  {reason}: {count} rows, the first is row {number}: {example}")
        remedy = _remedy(reason)
        if remedy not in remedies:
            remedies.append(remedy)
    raise StepError(
        f"{landing / file.path}: {share:.0%} of its {file.rows} rows are unusable, more than the {max_share:.0%} "
        "allowed.\n" + "\n".join(reasons),
        "; ".join(remedies)
        + ". Nothing of this step was written: put the file right at the source and run again, "
        "or allow more (max_quarantined_share).",
    )


def _remedy(reason: str) -> str:
    code, _, column = reason.partition(":")
    if code in _REMEDIES:
        return _REMEDIES[code]
    return f"have the shop fill {column} as docs/feeds.md says"


def warn_of_unasked_columns(files: Iterable[FileVerdict]) -> None:
    """Say once a feed which columns were passed over."""
    unasked: dict[str, set[str]] = {}
    for file in files:
        feed = file.path.split("/", 1)[0]
        unasked.setdefault(feed, set()).update(set(file.columns) - set(FEEDS[feed].column_names))
    for feed, columns in unasked.items():
        if columns:
            shown = sorted(columns)
            more = f" and {len(shown) - 20} more" if shown[20:] else ""
            log.warning("%s: columns not asked for were passed over: %s%s", feed, ", ".join(shown[:20]), more)
