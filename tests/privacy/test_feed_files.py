"""Feed files without forgotten users: whatever the file, cleaning reads from it what it read of all others."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.feed_files import forget_in_file, is_emptied, names_in_file
from privacy.rule import Rule, moment_of
from qianmian.step import StepError
from spark_jobs.landed import Landed
from spark_jobs.pseudonyms import Pseudonyms
from spark_jobs.reading.reader import read_rows

KEY = b"a key for tests, long enough"
GONE, ALSO_GONE, STAYS = 'u-1, "the first"', "用户2", "u-11"
ASKED = datetime(2026, 10, 15, 12, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(KEY)
RULE = Rule({PSEUDONYMS.of(user): ASKED for user in (GONE, ALSO_GONE)}, KEY)
BEFORE, AFTER = "2026-10-15T12:00:00Z", "2026-10-15 20:00:01+08:00"
COLUMNS = ("event_id", "event_at", "user_id", "event_type", "query")

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "event_id": texts.filter(bool),
            "event_at": st.sampled_from([BEFORE, AFTER, "soon"]),
            "user_id": st.sampled_from([GONE, ALSO_GONE, STAYS, f" {GONE} ", ""]),
            "event_type": st.just("view"),
            "query": texts,
        }
    ),
    min_size=1,
    max_size=12,
)


def is_theirs(row: dict[str, str]) -> bool:
    return row["user_id"].strip() in (GONE, ALSO_GONE) and row["event_at"] != AFTER


def as_json(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    written = csv.DictWriter(text, COLUMNS, lineterminator="\r\n")
    written.writeheader()
    written.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    table = pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in COLUMNS]))
    table = table.set_column(2, "user_id", table["user_id"].dictionary_encode())
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=5, compression="gzip")
    return buffer.getvalue()


FORMATS: dict[str, Any] = {
    "jsonl": as_json,
    "csv": as_csv,
    "jsonl.gz": lambda rows: gzip.compress(as_json(rows)),
    "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "parquet": as_parquet,
}


def read(folder: Path, path: str) -> list[tuple[Any, ...]]:
    return [row[1:] for row in read_rows(folder, Landed(path, 0, ""), PSEUDONYMS)][:-1]


@pytest.mark.parametrize("extension", FORMATS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(given_rows=rows)
def test_what_is_left_are_all_rows_of_all_others(
    extension: str, given_rows: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("feeds")
    path = f"events/2026-10-15.{extension}"
    file = folder / path
    file.parent.mkdir()
    file.write_bytes(FORMATS[extension](given_rows))
    before = file.read_bytes()
    theirs = [row for row in given_rows if is_theirs(row)]
    others = [row for row in given_rows if not is_theirs(row)]
    assert names_in_file(file, "events", RULE) == bool(theirs)
    removed = forget_in_file(file, "events", RULE)
    assert removed.total() == len(theirs)
    if not theirs:
        assert file.read_bytes() == before
    elif not others and "jsonl" in extension:
        assert is_emptied(file)
    else:
        expected = folder / "expected" / path
        expected.parent.mkdir(parents=True)
        expected.write_bytes(FORMATS[extension](others))
        assert read(folder, path) == read(folder / "expected", path)
        if not extension.endswith((".gz", "parquet")):
            assert file.read_bytes() == expected.read_bytes()
    assert not names_in_file(file, "events", RULE)
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_parquet_keeps_its_schema_its_metadata_and_its_compression(tmp_path: Path) -> None:
    file = tmp_path / "events" / "2026-10-15.parquet"
    file.parent.mkdir()
    at = [datetime(2026, 10, 15, hour, tzinfo=UTC) for hour in (11, 12, 13)]
    table = pa.table(
        {"user_id": pa.array([7, 7, 8]), "event_at": pa.array(at, pa.timestamp("ms", "Asia/Shanghai"))}
    )
    pq.write_table(table.replace_schema_metadata({"made_by": "the shop"}), file, compression="brotli")
    assert forget_in_file(file, "events", Rule({PSEUDONYMS.of("7"): ASKED}, KEY)).total() == 2
    left = pq.ParquetFile(file)
    assert left.schema_arrow.equals(table.schema)
    assert (left.metadata.metadata or {})[b"made_by"] == b"the shop"
    assert left.metadata.row_group(0).column(0).compression == "BROTLI"
    assert left.read().to_pylist() == table.slice(2).to_pylist()


BROKEN = {
    "jsonl": [
        '{"event_id": "e1", "user_id": "u7", "event_at": ',
        "u7 wrote to us",
        '{"event_id": "e2", "user_id": "u77", "event_at": ',
    ],
    "csv": ["event_id,user_id,event_at", "e1,u7", '"e2,u7,2026-10-01', "e3,u77"],
}


LEFT = {"jsonl": BROKEN["jsonl"][2:], "csv": ["event_id,user_id,event_at", "e3,u77"]}


@pytest.mark.parametrize("extension", BROKEN)
def test_lines_that_cannot_be_read_go_where_they_name_the_user(tmp_path: Path, extension: str) -> None:
    file = tmp_path / "events" / f"2026-10-15.{extension}"
    file.parent.mkdir()
    file.write_text("\n".join(BROKEN[extension]) + "\n")
    removed = forget_in_file(file, "events", Rule({PSEUDONYMS.of("u7"): ASKED}, KEY))
    assert removed == {PSEUDONYMS.of("u7"): 2}
    assert file.read_text().splitlines() == LEFT[extension]


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    file = tmp_path / "events" / "2026-10-15.jsonl.gz"
    file.parent.mkdir()
    file.write_bytes(gzip.compress(b'{"user_id": "u7"}\n' * 1000)[:-20])
    with pytest.raises(StepError, match="cannot be said who is in it"):
        forget_in_file(file, "events", RULE)


@pytest.mark.parametrize(
    ("user", "moment", "day", "goes"),
    [
        (GONE, BEFORE, None, True),
        (GONE, AFTER, None, False),
        (GONE, AFTER, date(2026, 10, 15), False),
        (GONE, AFTER, date(2026, 10, 14), True),  # the file was there before the request
        (GONE, "2027-01-01", date(2026, 10, 15), True),  # from the future: its time is wrong
        (GONE, "2026-10-17", date(2026, 10, 16), False),
        (GONE, "soon", date(2026, 10, 20), True),
        (STAYS, BEFORE, None, False),
    ],
)
def test_a_row_is_theirs_up_to_the_request(user: str, moment: str, day: date | None, goes: bool) -> None:
    assert RULE.owner(user, moment, day) == (PSEUDONYMS.of(user) if goes else None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-15T12:00:00Z", ASKED),
        ("2026-10-15 20:00+0800", ASKED),
        ("2026-10-15 04:00:00.000-08", ASKED),
        ("1792065600000", ASKED),
        ("2026-1-5", datetime(2026, 1, 5, tzinfo=UTC)),
        ("12:30", None),
        ("2026-13-01", None),
    ],
)
def test_moments_are_read_as_cleaning_reads_them(text: str, moment: datetime | None) -> None:
    assert moment_of(text) == moment
