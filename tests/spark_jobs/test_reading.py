"""Reading raw files, without Spark: every row comes out, whatever is in the file, with bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.tables import FEEDS
from spark_jobs.landed import Landed
from spark_jobs.pseudonyms import Pseudonyms
from spark_jobs.reading.reader import FILE_SEEN, read_rows, share_out
from spark_jobs.reading.rows import RawRow
from tests.spark_jobs.small_shop import KEY, event, pseudonym

HEADER = "event_id,event_at,user_id,event_type,query"
PLACES = [FEEDS["events"].column_names.index(name) for name in HEADER.split(",")]


def read(folder: Path, name: str, content: bytes | str, feed: str = "events") -> list[RawRow]:
    """Write a landed file and read it."""
    path = folder / feed / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(folder, Landed(f"{feed}/{name}", path.stat().st_size, ""), Pseudonyms(KEY.encode())))


def values(row: RawRow) -> list[str | None]:
    """A row's values in the order of HEADER."""
    assert row.values is not None
    return [row.values[place] for place in PLACES]


def trouble(rows: list[RawRow]) -> str:
    """What is wrong with the file as a whole."""
    assert rows[-1].problem == FILE_SEEN
    found = json.loads(rows[-1].raw)
    assert found["remedy"]
    what: str = found["what"]
    return what


def test_a_file_ends_with_what_was_seen_in_it(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.jsonl", json.dumps(event("e1", email="x")) + "\n\n" + json.dumps(event("e2")) + "\n")
    assert [(row.number, row.problem) for row in rows] == [(1, None), (2, None), (2, FILE_SEEN)]
    assert json.loads(rows[-1].raw)["columns"] == [
        "email",
        "event_at",
        "event_id",
        "event_type",
        "item_id",
        "user_id",
    ]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_csv(tmp_path: Path, mark: bytes, ending: str, packed: bool) -> None:
    text = [
        HEADER,
        'e1,2026-10-31,u1,search,"two',
        'lines, and a ""quote"""',
        "",
        "e2,2026-10-31,,view,",
        'e3,2026-10-31,u1,search,a 12" screen',
    ]
    content = mark + ending.join(text).encode()
    rows = read(tmp_path, "a.csv.gz" if packed else "a.csv", gzip.compress(content) if packed else content)
    assert [values(row) for row in rows[:-1]] == [
        ["e1", "2026-10-31", pseudonym("u1"), "search", 'two\nlines, and a "quote"'],
        ["e2", "2026-10-31", "", "view", ""],
        ["e3", "2026-10-31", pseudonym("u1"), "search", 'a 12" screen'],
    ]


def test_an_open_quote_costs_its_own_row_only(tmp_path: Path) -> None:
    lines = [
        HEADER,
        'e1,2026-10-31,u1,search,"open',
        "e2,2026-10-31,u1,view,",
        "e3,2026-10-31,u1",
        "e4,2026-10-31,u1,view,",
    ]
    rows = read(tmp_path, "a.csv", "\n".join(lines))
    assert [(row.number, row.problem) for row in rows[:-1]] == [
        (1, "malformed"),
        (2, None),
        (3, "malformed"),
        (4, None),
    ]
    assert rows[2].raw.endswith(pseudonym("u1"))


def test_a_shifted_user_id_is_replaced_too(tmp_path: Path) -> None:
    shifted = "e1,2026-10-31,one more,secret-user,view,"
    (row, _) = read(tmp_path, "a.csv", f"{HEADER}\n{shifted}")
    assert row.problem == "malformed"
    assert "secret-user" not in row.raw


def test_parquet_types_come_out_as_text(tmp_path: Path) -> None:
    stamp = pa.array([1793440800123456789, None], pa.timestamp("ns"))
    table = pa.table(
        {
            "event_id": pa.array([1, 2], pa.int32()),
            "event_at": stamp,
            "user_id": pa.array(["u1", None]).dictionary_encode(),
            "event_type": ["view", " view "],
            "unit_price": pa.array([1.5, None]),
            "secret": ["a@b.example", ""],
        }
    )
    written = io.BytesIO()
    pq.write_table(table, written)
    first, second, seen = read(tmp_path, "a.parquet", written.getvalue())
    assert values(first)[:4] == ["1", "2026-10-31T10:00:00.123456Z", pseudonym("u1"), "view"]
    assert values(second)[:4] == ["2", "", "", "view"]
    assert "secret" in json.loads(seen.raw)["columns"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"", r"empty \(0 bytes\)"),
        ("a.jsonl", b"", r"empty \(0 bytes\)"),
        ("a.parquet", b"", r"empty \(0 bytes\)"),
        ("a.csv.gz", gzip.compress(HEADER.encode() * 1000)[:-30], "not a whole gzip archive"),
        ("a.csv.gz", HEADER.encode(), "not a whole gzip archive"),
        ("a.csv", "e1,2026-10-31,u1,view,\n", "no header"),
        ("a.csv", HEADER.replace("user_id,", ""), "without the required column user_id"),
        ("a.csv", HEADER + ",query", "twice in its header: query"),
        ("a.csv", HEADER.replace(",", ";"), "no header"),
        ("a.csv", f"{HEADER}\ne1,2026-10-31,u1,search,茶叶".encode("gbk"), "not UTF-8: byte 67, in line 2"),
        ("a.jsonl", '{"event_id": "茶"}'.encode("utf-16"), "UTF-16"),
        ("a.jsonl", json.dumps([event("e1")], indent=1), "none of its"),
        ("a.jsonl", json.dumps([event("e1")]), "none of its 1 lines is an object"),
        ("a.jsonl", '{"event_id": "e", "user_id": "u", "event_type": "view"}\n' * 3, "required column event_at"),
        ("a.parquet", b"PAR1 and no more", "not a whole Parquet file"),
    ],
)  # fmt: skip
def test_files_that_are_wrong_as_a_whole(
    tmp_path: Path, name: str, content: bytes | str, what: str | None
) -> None:
    assert re.search(what, trouble(read(tmp_path, name, content)))


def test_a_truncated_parquet_file(tmp_path: Path) -> None:
    written = io.BytesIO()
    pq.write_table(pa.table({name: ["x"] * 5000 for name in HEADER.split(",")}), written)
    assert "not a whole Parquet file" in trouble(read(tmp_path, "a.parquet", written.getvalue()[:-100]))


def test_a_csv_of_its_header_alone_has_no_rows(tmp_path: Path) -> None:
    (seen,) = read(tmp_path, "a.csv", HEADER + "\n")
    assert (seen.number, json.loads(seen.raw)["columns"]) == (0, sorted(HEADER.split(",")))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_a_line_of_100_mib_is_never_held(tmp_path: Path, name: str) -> None:
    first = json.dumps(event("e1")) if name == "a.jsonl" else HEADER
    path = tmp_path / "events" / name
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(first.encode() + b'\n{"user_id": "secret-user", "query": "')
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + first.encode())
    tracemalloc.start()
    rows = list(read_rows(tmp_path, Landed(f"events/{name}", 0, ""), Pseudonyms(KEY.encode())))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    long = next(row for row in rows if row.problem == "line_too_long")
    assert len(long.raw) < 1100
    assert "secret-user" not in long.raw


BROKEN = [
    '{"user_id": "secret-user", "event_id": ',
    '{"event_id": "e", "user_id":"secret-user',
    "{'user_id': 'secret-user'}",
    '{"user_id": secret-user}',
    '{"event": {"user_id": "secret-user"}} trailing',
    '{"user\\u005fid": "secret-user", "event_id": "e", "event_at": "x"}',
    '{"event_id": {"user_id": "secret-user"}, "event_at": "x", "user_id": ""}',
    '{"user_id": "secret-user", "user_id": "secret-user"}',
    '{"user_id": ["secret-user"]}',
    '{"profile": {"name": "secret-user"}, "event_at": "x"}',
]


@pytest.mark.parametrize("line", BROKEN)
def test_no_raw_user_id_gets_past_the_reader(tmp_path: Path, line: str) -> None:
    rows = read(tmp_path, "a.jsonl", f"{line}\n{json.dumps(event('e1', user_id='secret-user'))}\n")
    assert len(rows) == 3
    assert "secret-user" not in repr(rows)


def test_files_are_shared_out_evenly_and_completely() -> None:
    files = [Landed(f"events/{size}.csv", size, "") for size in range(1, 101)]
    tasks = share_out(files, 2)
    assert sorted(file.size for task in tasks for file in task) == list(range(1, 101))
    loads = [sum(file.size for file in task) for task in tasks]
    assert len(tasks) == 4
    assert max(loads) < 1.01 * min(loads)
    assert share_out([], 2) == []


ANY_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
ANY_ROW = st.dictionaries(st.sampled_from([*FEEDS["events"].column_names, "more"]), ANY_VALUE, max_size=8)
ANY_LINE = st.one_of(
    ANY_ROW.map(json.dumps),
    ANY_ROW.map(lambda row: json.dumps(row, ensure_ascii=False)),
    ANY_ROW.map(json.dumps).flatmap(lambda line: st.integers(0, len(line)).map(lambda end: line[:end])),
    st.text(max_size=60),
)


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(ANY_LINE, max_size=8))
def test_any_json_lines_come_out_row_by_row(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    lines = [" ".join(line.splitlines()).encode("utf-8", "ignore").decode().strip() for line in lines]
    good = json.dumps(event("good"))
    rows = read(tmp_path_factory.mktemp("fuzz"), "a.jsonl", "\n".join([*lines, good, good, good]).encode())
    assert [row.number for row in rows[:-1]] == list(range(1, len([line for line in lines if line]) + 4))
    assert all((row.values is None) == (row.problem is not None) for row in rows[:-1])
    pa.array(
        [value for row in rows[:-1] for value in row.values or []], pa.string()
    )  # is text that Spark can take


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@settings(max_examples=100, deadline=None)
@given(
    records=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=10), max_size=7), max_size=8
    )
)
def test_any_csv_records_come_out_row_by_row(
    records: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Written by the rules, each record is one row; only the number of fields can make it a bad one."""
    records = [["".join(field.splitlines()).replace("\0", "") for field in record] for record in records]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([HEADER.split(","), *records])
    rows = read(tmp_path_factory.mktemp("fuzz"), "a.csv", written.getvalue())
    records = [record for record in records if any(record) or len(record) > 1]  # the others are blank lines
    assert [row.problem for row in rows[:-1]] == [None if len(record) == 5 else "malformed" for record in records]


@settings(max_examples=100, deadline=None)
@given(junk=st.binary(max_size=200), name=st.sampled_from(["a.csv", "a.jsonl", "a.parquet", "a.csv.gz"]))
def test_any_bytes_are_rows_or_a_reason(junk: bytes, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = read(tmp_path_factory.mktemp("fuzz"), name, HEADER.encode() + b"\n" + junk)
    assert rows[-1].problem == FILE_SEEN
    assert [row.number for row in rows[:-1]] == list(range(1, len(rows)))
