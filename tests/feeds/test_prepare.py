"""The step as a command: what it leaves behind, and what it says when it is asked for the impossible."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feeds.prepare", "--lake", str(folder / "lake"), "--as-of", "2026-08-05"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


def simulated(folder: Path, users: int) -> list[str]:
    return [
        "--adapter",
        "simulated",
        "--users",
        str(users),
        "--feeds",
        f"{folder}/feeds",
        "--truth",
        f"{folder}/truth",
    ]


def test_a_source_that_is_feeds_already_is_left_alone(tmp_path: Path) -> None:
    done = prepare(tmp_path, "--adapter", "feeds", "--source", "s3://shop/feeds")
    assert done.returncode == 0
    assert "nothing to do" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_it_leaves_feeds_truth_and_a_report(tmp_path: Path) -> None:
    done = prepare(tmp_path, *simulated(tmp_path, 100))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "lake/runs/by_hand/prepare.json").read_text())
    assert report["adapter"] == "simulated"
    assert report["days"] == ["2026-08-01", "2026-08-12"]
    lines = sum(len(path.read_text().splitlines()) for path in (tmp_path / "feeds/events").iterdir())
    assert report["rows_written"]["events"] == lines > 500


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["--adapter", "simulated", "--feeds", "x"], "give --truth a folder"),
        (["--adapter", "online_retail", "--feeds", "x"], "name the folder that holds online_retail.parquet"),
        (["--adapter", "online_retail", "--source", "nowhere", "--feeds", "x"], "let --source name the folder"),
        (["--adapter", "completejourney", "--feeds", "x"], "name the folder that holds the data set's"),
        (["--adapter", "completejourney", "--source", "nowhere", "--feeds", "x"], "let --source name the folder"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(tmp_path: Path, arguments: list[str], remedy: str) -> None:
    refused = prepare(tmp_path, *arguments)
    assert refused.returncode == 2
    assert remedy in refused.stderr
    assert "Traceback" not in refused.stderr


def test_files_of_another_hand_are_not_mixed_with(tmp_path: Path) -> None:
    (tmp_path / "feeds/events").mkdir(parents=True)
    (tmp_path / "feeds/events/2026-08-01.csv").write_text("event_id\n")
    refused = prepare(tmp_path, *simulated(tmp_path, 100))
    assert refused.returncode == 2
    assert "did not write them" in refused.stderr


def test_killed_midway_it_goes_on_and_ends_with_the_same_files(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-m", "feeds.prepare", "--lake", f"{killed}/lake", "--as-of", "2026-08-05"]
    process = subprocess.Popen([*command, *simulated(killed, 3000)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (killed / "feeds/events/2026-08-03.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "feeds/events/2026-08-12.jsonl").exists()
    assert prepare(killed, *simulated(killed, 3000)).returncode == 0
    assert prepare(whole, *simulated(whole, 3000)).returncode == 0
    for part in ("feeds", "truth"):
        ended, expected = content(killed / part), content(whole / part)
        # The record tells of the last run, which had less to write.
        for files in (ended, expected):
            files.pop("_prepared.json")
        assert ended == expected


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
