"""Landing from a folder: byte for byte, resumable, nothing twice, nothing unsafe."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from feeds.land import land, select_files
from feeds.landing_journal import Journal
from feeds.landing_sources import LocalFolder, SourceFile
from qianmian.step import StepError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for path, content in {
        "events/2026-10-30.jsonl": b'{"event_id": "\xe8\x8c\xb6"}\n',
        "events/2026/10/2026-10-31.csv.gz": b"\x1f\x8b any bytes \x00\xff",
        "items/catalogue.parquet": b"PAR1",
        "items/_SUCCESS": b"",
        "items/.hidden.csv": b"x",
        "_prepared.json": b"{}",
        "_set_aside/lines.csv": b"x",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def landed_bytes(landing: Path) -> dict[str, bytes]:
    """What lies in landing, by path, without landing's own files."""
    return {
        path.relative_to(landing).as_posix(): path.read_bytes()
        for path in sorted(landing.rglob("*"))
        if path.is_file() and path.name not in ("manifest.jsonl", ".lock")
    }


def journal_lines(landing: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (landing / "manifest.jsonl").read_text().splitlines()]


def test_files_land_byte_for_byte_with_their_checksums(source: Path, tmp_path: Path) -> None:
    report = land(LocalFolder(source), tmp_path / "landing", "run 1")
    assert landed_bytes(tmp_path / "landing") == {
        "events/2026-10-30.jsonl": b'{"event_id": "\xe8\x8c\xb6"}\n',
        "events/2026/10/2026-10-31.csv.gz": b"\x1f\x8b any bytes \x00\xff",
        "items/catalogue.parquet": b"PAR1",
    }
    lines = {line["path"]: line for line in journal_lines(tmp_path / "landing")}
    assert lines["items/catalogue.parquet"] == {
        "path": "items/catalogue.parquet",
        "size": 4,
        "sha256": hashlib.sha256(b"PAR1").hexdigest(),
        "stamp": lines["items/catalogue.parquet"]["stamp"],
        "run_id": "run 1",
    }
    assert (report["landed"], report["landed_bytes"]) == (3, 20 + 15 + 4)
    assert report["missing_feeds"] == ["users", "campaigns", "merchandising_rules", "campaign_contacts", "reviews",
        "erasure_requests",
    ]  # fmt: skip


def test_a_second_landing_does_not_even_read(source: Path, tmp_path: Path) -> None:
    land(LocalFolder(source), tmp_path / "landing", "run 1")
    before = (tmp_path / "landing" / "manifest.jsonl").read_bytes()
    for path in source.rglob("*"):
        if path.is_file():
            stat = path.stat()
            path.write_bytes(b"?" * stat.st_size)  # other bytes under the same stamp: seen only by reading
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert land(LocalFolder(source), tmp_path / "landing", "run 2")["landed"] == 0
    assert (tmp_path / "landing" / "manifest.jsonl").read_bytes() == before
    assert landed_bytes(tmp_path / "landing")["items/catalogue.parquet"] == b"PAR1"


def test_changed_files_land_again_and_vanished_ones_stay(source: Path, tmp_path: Path) -> None:
    land(LocalFolder(source), tmp_path / "landing", "run 1")
    (source / "items/catalogue.parquet").write_bytes(b"PAR1 more")
    (source / "events/2026-10-30.jsonl").unlink()
    assert land(LocalFolder(source), tmp_path / "landing", "run 2")["landed"] == 1
    assert landed_bytes(tmp_path / "landing")["items/catalogue.parquet"] == b"PAR1 more"
    assert "events/2026-10-30.jsonl" in landed_bytes(tmp_path / "landing")
    stands = Journal(tmp_path / "landing" / "manifest.jsonl").files["items/catalogue.parquet"]
    assert (stands.run_id, stands.size) == ("run 2", 9)


def test_a_file_lost_from_landing_lands_again(source: Path, tmp_path: Path) -> None:
    land(LocalFolder(source), tmp_path / "landing", "run 1")
    (tmp_path / "landing/items/catalogue.parquet").unlink()
    assert land(LocalFolder(source), tmp_path / "landing", "run 2")["landed"] == 1
    assert landed_bytes(tmp_path / "landing")["items/catalogue.parquet"] == b"PAR1"


def test_a_torn_last_line_is_landed_again(source: Path, tmp_path: Path) -> None:
    land(LocalFolder(source), tmp_path / "landing", "run 1")
    journal = tmp_path / "landing" / "manifest.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert land(LocalFolder(source), tmp_path / "landing", "run 2")["landed"] == 1
    assert land(LocalFolder(source), tmp_path / "landing", "run 3")["landed"] == 0
    assert len(Journal(journal).files) == 3


@pytest.mark.parametrize(
    "path", ["events/../../etc/passwd.csv", "events//x.csv", "../events/x.csv", "events/a\\b.csv"]
)
def test_unsafe_paths_are_refused(path: str) -> None:
    class Bucket:
        def files(self) -> list[SourceFile]:
            return [SourceFile(path, 1, "etag=x size=1")]

    with pytest.raises(StepError, match="unsafe path"):
        select_files(Bucket())  # type: ignore[arg-type]


def test_what_cannot_run_says_what_to_do(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (source / "evnets").mkdir()
    (source / "evnets/2026-10-31.csv").write_text("x")
    (source / "items/notes.docx").write_text("x")
    land(LocalFolder(source), tmp_path / "landing", "run 1")
    assert "unknown folder: evnets" in caplog.text
    assert "unknown kind of file: items/notes.docx" in caplog.text

    (source / "items/catalogue.parquet").unlink()
    with pytest.raises(StepError, match="required feed items") as refused:
        land(LocalFolder(source), tmp_path / "landing", "run 2")
    assert "items/" in refused.value.remedy
    with pytest.raises(StepError, match="not a folder"):
        LocalFolder(tmp_path / "nowhere")


def test_killed_landings_end_up_as_an_undisturbed_one(tmp_path: Path) -> None:
    source = tmp_path / "source"
    expected = {}
    for feed in ("events", "items"):
        (source / feed).mkdir(parents=True)
        for number in range(150):
            content = os.urandom(60_000)
            (source / feed / f"{number}.csv").write_bytes(content)
            expected[f"{feed}/{number}.csv"] = content
    landing = tmp_path / "lake" / "landing"
    command = [sys.executable, "-m", "feeds.land", "--source", str(source), "--lake", str(tmp_path / "lake")]
    command += ["--as-of", "2026-10-31"]
    killed = 0
    for files_before_the_kill in (1, 40, 130, 260):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            journal = landing / "manifest.jsonl"
            if journal.exists() and journal.read_bytes().count(b"\n") >= files_before_the_kill:
                process.send_signal(signal.SIGKILL)
                break
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2, "a test of kills has to kill"
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert landed_bytes(landing) == expected
    stands = Journal(landing / "manifest.jsonl").files
    assert {path: file.sha256 for path, file in stands.items()} == {
        path: hashlib.sha256(content).hexdigest() for path, content in expected.items()
    }
