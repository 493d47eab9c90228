"""A file is a function of (seed, users, day, shard), however and whenever it is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from feeds.simulated import people
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import number_of, present_by
from feeds.simulated.dirt import RATES
from feeds.simulated.shard_feeds import ShardFeeds
from feeds.simulated.shop import generate
from qianmian.step import StepError

from .conftest import AS_OF, SEED, USERS, Shop


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_day_made_alone_equals_the_day_of_the_whole_run(shop: Shop) -> None:
    day = 41
    alone = ShardFeeds(Catalogue(SEED, USERS, day), USERS, 0, day, RATES).files(day)
    assert set(alone.feeds) >= {"events/2026-09-11.jsonl", "users/2026-09-11.csv", "reviews/2026-09-11.jsonl"}
    for path, made in alone.feeds.items():
        assert made == (shop.feeds / path).read_bytes(), path
    for path, made in alone.truth.items():
        assert made == (shop.truth / path).read_bytes(), path


def test_days_made_later_continue_the_shop_byte_for_byte(shop: Shop, tmp_path: Path) -> None:
    generate(tmp_path / "feeds", tmp_path / "truth", USERS, SEED, "2026-09-20")
    generate(tmp_path / "feeds", tmp_path / "truth", USERS, SEED, AS_OF)
    grown, whole = content(tmp_path / "feeds"), content(shop.feeds)
    grown.pop("_prepared.json")
    whole.pop("_prepared.json")
    assert grown == whole
    assert content(tmp_path / "truth") == content(shop.truth)


def test_a_run_with_nothing_to_do_writes_nothing(shop: Shop) -> None:
    before = {path: path.stat().st_mtime_ns for path in shop.feeds.glob("*/*")}
    report = generate(shop.feeds, shop.truth, USERS, SEED, AS_OF)
    assert report["rows_written"] == {}
    assert {path: path.stat().st_mtime_ns for path in shop.feeds.glob("*/*")} == before


def test_a_lost_file_comes_back_the_same(shop: Shop) -> None:
    lost = shop.feeds / "events/2026-08-20.jsonl"
    was = lost.read_bytes()
    lost.unlink()
    generate(shop.feeds, shop.truth, USERS, SEED, AS_OF)
    assert lost.read_bytes() == was


def test_another_seed_is_another_shop(shop: Shop) -> None:
    other = ShardFeeds(Catalogue(SEED + 1, USERS, 0), USERS, 0, 0, RATES).files(0)
    assert other.feeds["events/2026-08-01.jsonl"] != (shop.feeds / "events/2026-08-01.jsonl").read_bytes()


def test_other_parameters_on_a_filled_folder_are_refused(shop: Shop) -> None:
    with pytest.raises(StepError, match="was filled by simulated"):
        generate(shop.feeds, shop.truth, USERS, SEED + 1, AS_OF)


def test_shards_are_independent_and_share_no_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(people, "SHARD_USERS", 200)
    generate(tmp_path / "feeds", tmp_path / "truth", 600, SEED, "2026-08-03")
    names = sorted(path.name for path in (tmp_path / "feeds/events").glob("2026-08-08*"))
    assert names == [f"2026-08-08-000{shard}.jsonl" for shard in range(3)]
    day = 7
    alone = ShardFeeds(Catalogue(SEED, 600, day), 600, 1, day, RATES).files(day)
    for path, made in alone.feeds.items():
        assert made == (tmp_path / "feeds" / path).read_bytes(), path
    ids = [
        line.split(",")[0]
        for path in (tmp_path / "feeds/users").glob("2026-08-01*.csv")
        for line in path.read_text(encoding="utf-8").splitlines()[1:]
        if ",yesterday," not in line
    ]
    assert len(ids) == len(set(ids)) == present_by(0, 600, people.FOUNDING_PERCENT)


def test_a_shard_of_a_large_shop_fits_in_little_memory() -> None:
    """One of ten shards of 200,000 users, on a day with a whole past; measured in a process of its own.

    By VmHWM, which belongs to the program: getrusage's maximum would also count the process that started it.
    """
    day = number_of(people.day_of(40))
    script = f"""
from pathlib import Path
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.dirt import RATES
from feeds.simulated.shard_feeds import ShardFeeds
made = ShardFeeds(Catalogue(3, 200_000, {day}), 200_000, 4, {day}, RATES).files({day})
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
print(made.rows["events"], int(peak) // 1024)
"""
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    events, peak_mib = (int(part) for part in printed.split())
    assert events > 25_000
    assert peak_mib < 1024


@pytest.mark.parametrize(
    ("users", "as_of", "truth", "complaint"),
    [
        (10, AS_OF, "truth", "--users 10"),
        (1000, "2026-07-31", "truth", "opened on 2026-08-01"),
        (1000, AS_OF, "feeds/truth", "lie in one another"),
    ],
)
def test_what_cannot_be_made_is_refused(
    tmp_path: Path, users: int, as_of: str, truth: str, complaint: str
) -> None:
    with pytest.raises(StepError, match=complaint):
        generate(tmp_path / "feeds", tmp_path / truth, users, SEED, as_of)
    assert not list(tmp_path.rglob("*"))
