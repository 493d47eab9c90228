"""What became of each landed file's rows, and whether that lets the run go on."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

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
#: A reason has to fit into `pipeline_runs` with what to do about it.
_OTHERS_SHOWN, _OTHERS_CHARACTERS = 5, 120
_GROUPED = ("source_file", "reason", "set_aside", "is_anonymised", "is_retold")
_SEEN = ("source_file", "row_number", "raw")

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
    anonymised: int = 0
    retold: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, int] = field(default_factory=dict)
    partitions: set[str] = field(default_factory=set)
    arrived_through: str = ALWAYS.isoformat()

    def counts(self) -> dict[str, Any]:
        """Counts as the manifest holds them: rows = clean + quarantined + set aside; anonymised rows are clean."""
        return {
            "rows": self.rows,
            "clean": self.clean,
            "quarantined": dict(sorted(self.quarantined.items())),
            "set_aside": dict(sorted(self.set_aside.items())),
            "anonymised": self.anonymised,
        }


def judge(judged: Mapping[str, DataFrame], landing: Path) -> dict[str, FileVerdict]:
    """Count every feed's judged rows by file.

    Judged rows have the clean table's columns and raw, reason, set_aside, is_anonymised, is_retold. Raises
    StepError for files that are wrong as a whole.
    """
    # One shuffle for all feeds, as each costs more than the rows of a small shop. Only numbers are aggregated: a
    # text among them would make Spark sort all rows.
    together = [
        rows.select(
            *_GROUPED,
            F.col(str(CLEAN[feed].partition)).cast("string").alias("partition"),
            "row_number",
            "arrived_on",
        )
        for feed, rows in judged.items()
    ]
    groups = (
        _union(together)
        .groupBy(*_GROUPED, "partition")
        .agg(
            F.count("*").alias("n"),
            F.min("row_number").alias("first_row"),
            F.max("arrived_on").alias("last_arrival"),
        )
        .collect()
    )
    seen = _union([rows.where(F.col("reason") == FILE_SEEN).select(*_SEEN) for rows in judged.values()]).collect()
    opened = {source_file: (rows_read, json.loads(what)) for source_file, rows_read, what in sorted(seen)}
    _refuse_unreadable({path: what for path, (_, what) in opened.items() if "what" in what}, landing)
    files = {path: FileVerdict(path, rows, what["columns"]) for path, (rows, what) in opened.items()}
    for group in groups:
        if group.reason != FILE_SEEN:
            _add(files[group.source_file], group)
    return files


def _union(parts: list[DataFrame]) -> DataFrame:
    return reduce(lambda left, right: left.unionByName(right), parts)


def _refuse_unreadable(wrong: Mapping[str, Mapping[str, str]], landing: Path) -> None:
    """Raise StepError where there is any file that the reader could make nothing of."""
    if not wrong:
        return
    (path, first), *others = wrong.items()
    also = _also([f"{other} {seen['what']}" for other, seen in others], "cannot be read either")
    remedies = dict.fromkeys(seen["remedy"] for seen in wrong.values())
    raise StepError(
        f"{landing / path} {first['what']}.{also}",
        f"{' '.join(list(remedies)[:3])} Nothing that was read with it was written: put "
        f"{'them' if others else 'the file'} right at the source, and run again.",
    )


def _also(others: Sequence[str], are: str) -> str:
    """Say which other files are at fault, for all of them to be put right at once."""
    shown = "".join(f"\n  {other[:_OTHERS_CHARACTERS]}" for other in others[:_OTHERS_SHOWN])
    more = f"\n  and {len(others) - _OTHERS_SHOWN} more" if others[_OTHERS_SHOWN:] else ""
    return f"\nMore files {are}:{shown}{more}" if others else ""


def _add(file: FileVerdict, group: Row) -> None:
    """Add one group of a file's rows to its verdict."""
    file.arrived_through = max(file.arrived_through, group.last_arrival.isoformat())
    if group.reason is not None:
        file.quarantined[group.reason] += group.n
        file.retold += group.n if group.is_retold else 0
        file.first_rows[group.reason] = min(file.first_rows.get(group.reason, group.first_row), group.first_row)
    elif group.set_aside is not None:
        file.set_aside[group.set_aside] += group.n
    else:
        file.clean += group.n
        file.anonymised += group.n if group.is_anonymised else 0
        file.partitions.add(group.partition)


def refuse_bad_files(
    files: Iterable[FileVerdict], judged: Mapping[str, DataFrame], landing: Path, max_share: float
) -> None:
    """Raise StepError where more than `max_share` of a file went to quarantine; say why for the worst.

    Rows told before by another file do not count: handing a file over twice does no harm. A file with few bad
    rows goes on, as one bad row of two says little.
    """
    unusable: list[tuple[float, FileVerdict]] = []
    for file in files:
        bad = sum(file.quarantined.values()) - file.retold
        enough = bad >= ENOUGH_BAD_ROWS or ENOUGH_IF_ALL_ARE_BAD <= bad == file.rows
        if enough and bad > max_share * file.rows:
            unusable.append((bad / file.rows, file))
    if not unusable:
        return
    (share, file), *others = sorted(unusable, key=lambda one: (-one[0], one[1].path))
    top = sorted(file.quarantined.items(), key=lambda entry: (-entry[1], entry[0]))[:3]
    first_rows = [file.first_rows[reason] for reason, _ in top]
    rows = judged[file.path.split("/", 1)[0]].where(
        (F.col("source_file") == file.path) & F.col("row_number").isin(first_rows) & (F.col("reason") != FILE_SEEN)
    )
    raw = {row.row_number: row.raw for row in rows.select("row_number", "raw").collect()}
    reasons = [
        f"  {reason}: {count} rows, the first is row {number}: {raw[number][:_EXAMPLE_CHARACTERS]}"
        for (reason, count), number in zip(top, first_rows, strict=True)
    ]
    remedies = list(dict.fromkeys(_remedy(reason) for reason, _ in top))
    raise StepError(
        f"{landing / file.path}: {share:.0%} of its {file.rows} rows are unusable, more than the {max_share:.0%} "
        "allowed.\n"
        + "\n".join(reasons)
        + _also([f"{other.path}: {bad:.0%} of {other.rows} rows" for bad, other in others], "are unusable"),
        f"{'; '.join(remedies)}. Nothing that was read with it was written: put "
        f"{'them' if others else 'the file'} right at the source and run again, or allow more "
        "(max_quarantined_share).",
    )


def _remedy(reason: str) -> str:
    code, _, column = reason.partition(":")
    return _REMEDIES.get(code) or f"have the shop fill {column} as docs/feeds.md says"


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
