"""What a day costs to compare with everything ever told, and that it comes out the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.transforms.duplicates import told_again, with_duplicates

HISTORY = 40_000
DAY = date(2026, 10, 31)
TOLD = [
    # event_id, row_number, reason, set_aside
    ("new", 1, None, None),
    ("e7", 2, None, None),
    ("twice", 3, None, None),
    ("twice", 4, None, None),
    ("e8", 5, "unknown_item", None),
    (None, 6, "missing:event_id", None),
    ("e9", 7, None, "without_consent"),
]


@pytest.fixture
def day(spark: Any) -> DataFrame:
    """A day's rows: new, told before, told twice, broken, set aside."""
    rows = [(key, "events/d.csv", number, DAY, reason, aside) for key, number, reason, aside in TOLD]
    kinds = (
        "event_id string, source_file string, row_number bigint, arrived_on date, reason string, set_aside string"
    )
    frame: DataFrame = spark.createDataFrame(rows, kinds).persist()
    return frame


@pytest.fixture
def known(spark: Any) -> Iterator[DataFrame]:
    """The keys of a shop's history; too many, as it were, to be sent around."""
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    yield spark.range(0, HISTORY, 1, 4).select(F.concat(F.lit("e"), "id").alias("event_id"))
    spark.conf.unset("spark.sql.autoBroadcastJoinThreshold")


def shuffled_by(spark: Any, rows: DataFrame) -> tuple[int, list[Any]]:
    """Run a query; return how many records it shuffled, and its rows."""

    def written() -> dict[int, int]:
        context = spark.sparkContext._jsc.sc()
        context.listenerBus().waitUntilEmpty()
        no_quantiles = spark.sparkContext._gateway.new_array(spark.sparkContext._jvm.double, 0)
        stages = context.statusStore().stageList(None, False, False, no_quantiles, None)
        listed = [stages.apply(number) for number in range(stages.size())]
        return {stage.stageId(): stage.shuffleWriteRecords() for stage in listed}

    before = written()
    found = [tuple(row) for row in rows.select("row_number", "reason", "set_aside", "is_retold").collect()]
    return sum(records for stage, records in written().items() if stage not in before), sorted(found)


def test_a_day_does_not_shuffle_the_keys_of_all_days(spark: Any, day: DataFrame, known: DataFrame) -> None:
    shuffled, found = shuffled_by(spark, with_duplicates(day, "events", told_again(known, day, "events")))
    shuffled_with_history, as_before = shuffled_by(spark, with_duplicates(day, "events", known))
    assert found == as_before
    assert [(number, is_retold) for number, reason, _, is_retold in found if reason == "duplicate"] == [
        (2, True),
        (4, False),
        (7, True),
    ]
    assert shuffled_with_history > HISTORY, "what it is held against"
    assert shuffled < 10 * len(TOLD)


def test_a_day_of_nothing_sound_meets_a_history(spark: Any, day: DataFrame, known: DataFrame) -> None:
    broken = day.where("reason is not null")
    _, found = shuffled_by(spark, with_duplicates(broken, "events", told_again(known, broken, "events")))
    assert [(number, reason) for number, reason, _, _ in found] == [(5, "unknown_item"), (6, "missing:event_id")]
