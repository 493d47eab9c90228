"""Which tables a page reads: the latest from the warehouse, a past day from its history, and what is not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from threading import Thread

import duckdb
import pytest

from expectations.tables import PUBLISHED
from preview.reading import Reading, UnreadableError, identity, open_reading
from preview.shop import last_runs
from tests.preview.small_shop import DAYS, RICH, publish_day
from tests.warehouse.earlier_release import as_before_ended_at

Read = Callable[..., Reading]


@pytest.fixture(scope="module")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("one_day")
    publish_day(home, "2026-10-31", "r1", users=8)
    return home


@pytest.fixture
def shop(one_day: Path, tmp_path: Path) -> Path:
    """One day published, for a test to change."""
    return shutil.copytree(one_day, tmp_path / "shop")


def test_the_latest_day_and_the_one_before(read: Read) -> None:
    reading = read()
    assert [d.isoformat() for d in reading.days] == sorted(DAYS, reverse=True)
    assert (reading.run.run_id, reading.before.run_id if reading.before else None) == (
        "run-2026-10-31",
        "run-2026-10-30",
    )
    assert reading.missing == frozenset()
    for name in PUBLISHED:
        assert reading.state(name) == reading.state(name, "before") == "there", name
        assert reading.ask(f"select distinct run_id from today.{name}") == [{"run_id": "run-2026-10-31"}]
        assert reading.ask(f"select distinct run_id from before.{name}") == [{"run_id": "run-2026-10-30"}]


def test_a_past_day_is_read_from_its_history(read: Read) -> None:
    reading = read("2026-10-30")
    assert reading.ask("select distinct as_of_date from today.homepage_layouts") == [
        {"as_of_date": date(2026, 10, 30)}
    ]
    assert reading.before is not None
    assert reading.before.as_of_date == date(2026, 10, 29)


def test_the_first_day_has_none_before(read: Read) -> None:
    reading = read("2026-10-29")
    assert reading.before is None
    assert reading.state("home_recommendations", "before") == "missing"
    assert reading.ask("from before.home_recommendations") == []


def test_a_day_that_was_not_published_gives_the_latest(read: Read) -> None:
    assert read("2020-01-01").run.run_id == "run-2026-10-31"


def test_a_file_put_in_place_while_another_reader_is_open_is_seen(shop: Path) -> None:
    warehouse, lake = shop / "warehouse.duckdb", shop / "lake"
    seen = identity(warehouse)
    with open_reading(warehouse, lake) as reading:
        publish_day(shop, "2026-11-01", "r2", number=1, users=8)
        assert identity(warehouse) not in (None, seen)
        with open_reading(warehouse, lake) as newer:
            assert newer.run.run_id == "r2"
        assert reading.ask("select distinct run_id from today.user_portraits") == [{"run_id": "r1"}]


def test_a_reader_sees_whole_sets_while_runs_publish(shop: Path) -> None:
    """Never one run's portraits beside another's lists, whatever moment a page is opened at."""
    days = ("2026-11-01", "2026-11-02", "2026-11-03")

    def publish_all() -> None:
        for number, day in enumerate(days, start=1):
            publish_day(shop, day, f"r{number + 1}", number, users=8)

    publisher = Thread(target=publish_all)
    publisher.start()
    seen = []
    while publisher.is_alive():
        with open_reading(shop / "warehouse.duckdb", shop / "lake") as reading:
            runs = [reading.ask(f"select distinct run_id from today.{name}") for name in PUBLISHED]
            assert runs == [[{"run_id": reading.run.run_id}]] * len(PUBLISHED)
            seen.append(reading.run.run_id)
    publisher.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 1


def test_no_warehouse(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as error, open_reading(tmp_path / "warehouse.duckdb", tmp_path):
        pass
    assert error.value.key == "no_warehouse"
    assert identity(tmp_path / "warehouse.duckdb") is None


def test_a_file_that_is_no_warehouse(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(UnreadableError) as error, open_reading(file, tmp_path):
        pass
    assert error.value.key == "locked"
    file.unlink()
    duckdb.connect(str(file)).execute("create table mine (a int)").close()
    with pytest.raises(UnreadableError) as error, open_reading(file, tmp_path):
        pass
    assert error.value.key == "not_a_warehouse"


def test_a_warehouse_that_another_program_writes_to(shop: Path) -> None:
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(shop / "warehouse.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(UnreadableError) as error, open_reading(shop / "warehouse.duckdb", shop / "lake"):
            pass
        writer.communicate("")
    assert error.value.key == "locked"
    assert "lock" in error.value.values["why"]


def test_a_warehouse_with_refused_runs_only(shop: Path) -> None:
    warehouse = shop / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("update pipeline_runs set status = 'refused', is_latest = false")
    with pytest.raises(UnreadableError) as error, open_reading(warehouse, shop / "lake"):
        pass
    assert error.value.key == "nothing_published"


def test_tables_of_an_older_release_are_missing_and_said_to_be(shop: Path) -> None:
    warehouse = shop / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("drop table homepage_layouts")
        connection.execute("alter table user_portraits drop column taste_segment")
        connection.execute("delete from recommendation_filters")
    with open_reading(warehouse, shop / "lake") as reading:
        states = {name: reading.state(name) for name in ("homepage_layouts", "recommendation_filters")}
        assert states == {"homepage_layouts": "missing", "recommendation_filters": "empty"}
        rows = reading.ask("select taste_segment from today.user_portraits where user_id = $u", u=RICH)
        assert rows == [{"taste_segment": None}]


def test_runs_of_an_older_release_are_told_in_the_order_in_which_they_ended(shop: Path) -> None:
    publish_day(shop, "2026-11-01", "r2", number=1, users=8)
    warehouse = shop / "warehouse.duckdb"
    as_before_ended_at(warehouse)
    with open_reading(warehouse, shop / "lake") as reading:
        runs = last_runs(reading)
    assert [run["run_id"] for run in runs] == ["r2", "r1"]
    assert all(run["ended_at"] == run["published_at"] for run in runs)


def test_history_that_is_gone_is_missing(shop: Path) -> None:
    publish_day(shop, "2026-11-01", "r2", number=1, users=8)
    shutil.rmtree(shop / "lake" / "published" / "user_traits" / "as_of_date=2026-10-31")
    with open_reading(shop / "warehouse.duckdb", shop / "lake") as reading:
        assert reading.state("user_traits", "before") == "missing"
        assert reading.state("user_portraits", "before") == "there"


def test_a_file_that_goes_away_while_it_is_read(shop: Path) -> None:
    publish_day(shop, "2026-11-01", "r2", number=1, users=8)
    warehouse, lake = shop / "warehouse.duckdb", shop / "lake"

    def read_it_late() -> None:
        with open_reading(warehouse, lake, date(2026, 10, 31)) as reading:
            [file] = (lake / "published" / "user_traits" / "as_of_date=2026-10-31").iterdir()
            file.unlink()
            reading.ask("from today.user_traits")

    with pytest.raises(UnreadableError) as error:
        read_it_late()
    assert error.value.key == "went_away"


def test_nothing_is_written(published: Path, read: Read) -> None:
    before = {path: path.stat().st_mtime_ns for path in published.rglob("*")}
    with pytest.raises(duckdb.Error):
        read().connection.execute("delete from warehouse.user_portraits")
    assert {path: path.stat().st_mtime_ns for path in published.rglob("*")} == before
