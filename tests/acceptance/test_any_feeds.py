"""Any feeds, all the way: a run is refused with its reason, or what it publishes keeps every contract.

Unlike tests/spark_jobs/test_any_feeds.py, which accounts for each row, this follows what cleaning lets through:
text of any script, prices of zero and of billions, days of other centuries, users who did one thing.
QIANMIAN_FUZZ_RUNS sets how many shops are tried (1, of a minute or two; a night's worth is 100).
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.acceptance.conftest import STEPS, Shop
from tests.acceptance.reader import look
from tests.any_feeds import ANY_FEEDS, AnyFeeds, FeedFile, feed_files, refused_files, sound_file

RUNS = int(os.environ.get("QIANMIAN_FUZZ_RUNS", "1"))
DAY = date(2026, 10, 31)
#: Of a step that says no for a reason; of dbt, that a model's or a test's contract is not kept.
REFUSED = {"build_features": 1, "build_tables": 1}


def write(shop: Shop, file: FeedFile) -> None:
    path = Path(shop.source, file.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)


@settings(
    max_examples=RUNS,
    deadline=None,
    derandomize=RUNS < 10,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(drawn=ANY_FEEDS)
def test_any_feeds_are_refused_or_published_whole(
    drawn: AnyFeeds, airflow_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    shop = Shop(
        folder / "home",
        name="any",
        source=str(folder / "feeds"),
        environ={"QIANMIAN_ADAPTER": "feeds", "QIANMIAN_MAX_QUARANTINED_SHARE": "1.0"},
    )
    for file in feed_files(drawn, [DAY - timedelta(days=n) for n in range(6, -1, -1)], strangeness=0.12):
        write(shop, file)
    steps, again = list(STEPS), 5
    while steps:
        step = steps.pop(0)
        done = shop.run_step(step, str(DAY), "any")
        if not done.returncode:
            continue
        said = done.stdout + done.stderr
        assert done.returncode == REFUSED.get(step, 2), f"{step}:\n{said[-6000:]}"
        if (
            paths := refused_files(said, shop.lake / "landing")
        ) and again:  # few rows, all broken: handed over again
            for path in paths:
                write(shop, sound_file(path, DAY))
            steps, again = ["land", "clean", *STEPS[3:]], again - 1
            continue
        # A model that breaks on a value is a defect; a test that does not hold is a reason.
        assert "WHAT TO DO" in said or "Failure in test" in said, f"{step}:\n{said[-6000:]}"
        assert "Error in model" not in said, f"{step}:\n{said[-6000:]}"
        assert not shop.warehouse.exists()
        return
    # Every suite of the published tables has passed in the step before: what is left is that the set is one.
    assert look(shop.warehouse) is None
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        status = connection.execute("select distinct status from data_quality_results").fetchall()
    assert ("failed",) not in status
