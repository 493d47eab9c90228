"""Checks of the candidate tables: a sound set passes, each defect is named by its check."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from expectations.run import check_clean, check_tables
from expectations.tables import PUBLISHED, history_dir, outputs_dir, run_dir
from expectations.validator import Validator
from qianmian.step import StepError
from tests.candidate_tables import (
    Rows,
    arrow_table,
    candidate_tables,
    check_result,
    user_id,
    write_candidates,
    write_check_results,
)
from tests.expectations.conftest import AS_OF, DAY, clean_rows, table_results, write_clean
from tests.expectations.test_clean_checks import not_passed, sound

pytestmark = pytest.mark.usefixtures("one_validator")
Change = Callable[[dict[str, Rows]], Any]


def checked(lake: Path, change: Change = lambda tables: None, run_id: str = "r1") -> dict[str, str]:
    """Checks that did not pass for a small shop's candidate tables after a change."""
    tables = candidate_tables(AS_OF, run_id)
    change(tables)
    write_candidates(lake, tables)
    return not_passed(check_tables(lake, AS_OF, run_id))


@pytest.fixture
def clean_lake(lake: Path) -> Path:
    """A lake whose clean stage passed in run r1."""
    write_clean(lake, sound())
    write_check_results(
        lake, AS_OF, "r1", [check_result(table_name=name) for name in ("events", "items")], "_clean"
    )
    return lake


def test_a_sound_set_passes_and_both_stages_end_in_one_file(clean_lake: Path) -> None:
    assert checked(clean_lake) == {}
    table = pq.read_table(outputs_dir(clean_lake, AS_OF) / "data_quality_results.parquet")
    stages = table.column("stage").to_pylist()
    clean = pq.read_table(outputs_dir(clean_lake, AS_OF) / "data_quality_results_clean.parquet")
    assert stages.count("clean") == clean.num_rows
    assert {row["table_name"] for row in table.to_pylist() if row["stage"] == "tables"} == set(PUBLISHED)
    assert table.schema.metadata[b"run_id"] == b"r1"
    assert (run_dir(clean_lake, "r1") / "checks_tables.html").exists()


def _drop_last(tables: dict[str, Rows]) -> None:
    tables["home_recommendations"].pop()


def _gap(tables: dict[str, Rows]) -> None:
    tables["home_recommendations"][19]["rank"] = 21


def _twice(tables: dict[str, Rows]) -> None:
    tables["home_recommendations"][1]["item_id"] = tables["home_recommendations"][0]["item_id"]


def _inactive(tables: dict[str, Rows]) -> None:
    tables["item_features"][0]["is_active"] = False


def _stranger(tables: dict[str, Rows]) -> None:
    for row in tables["home_recommendations"][:20]:
        row["user_id"] = user_id(99)


def _set(table: str, **values: Any) -> Change:
    return lambda tables: tables[table][0].update(values)


def _append_first(tables: dict[str, Rows]) -> None:
    tables["user_portraits"].append(tables["user_portraits"][0])


def _worse_than_popular(tables: dict[str, Rows]) -> None:
    for row in tables["model_metrics"]:
        row["baseline_value"] = 0.35


RECOMMENDATIONS, PORTRAITS, METRICS = "home_recommendations", "user_portraits", "model_metrics"
FULL_LIST = "Every user has a full list, ranked without gaps"
DEFECTS: list[tuple[Change, str, set[str]]] = [
    (_drop_last, RECOMMENDATIONS, {FULL_LIST}),
    (_gap, RECOMMENDATIONS, {FULL_LIST, "Every rank is of 1 to 20"}),
    (_twice, RECOMMENDATIONS, {"No user is shown an item twice"}),
    (_inactive, RECOMMENDATIONS, {"Every item shown is in the catalogue and active"}),
    (_inactive, "hot_items", {"Every hot item is in the catalogue and active"}),
    (_stranger, RECOMMENDATIONS, {"Every list is of a user who has a portrait", FULL_LIST}),
    (_set(RECOMMENDATIONS, probability=1.5), RECOMMENDATIONS, {"Every probability is a share"}),
    (_set(RECOMMENDATIONS, propensity=0.0), RECOMMENDATIONS, {"Every propensity is a share above zero"}),
    (_set(RECOMMENDATIONS, reason_text=" "), RECOMMENDATIONS, {"Every reason can be read in English"}),
    (_set(RECOMMENDATIONS, reason_text_zh="ok"), RECOMMENDATIONS, {"Every reason can be read in Chinese"}),
    (_set(RECOMMENDATIONS, reason_code="magic"), RECOMMENDATIONS, {"Every reason is known"}),
    (
        _set(RECOMMENDATIONS, evidence_id="nothing"),
        RECOMMENDATIONS,
        {"The evidence of every reason is in the catalogue, or a segment"},
    ),
    (_set(PORTRAITS, confidence=1.2), PORTRAITS, {"Every confidence is a share"}),
    (_set(PORTRAITS, orders_30d=0), PORTRAITS, {"A longer window has no fewer orders: 30 days, 7 days"}),
    (_set(PORTRAITS, segment=None), PORTRAITS, {"Every portrait has its segment"}),
    (_append_first, PORTRAITS, {"No portrait stands twice"}),
    (_set("similar_items", similar_item_id="i000"), "similar_items", {"No item is similar to itself"}),
    (
        _set(METRICS, measured_to=date(2026, 11, 3)),
        METRICS,
        {"Figures are of days that the lists were not made from"},
    ),
    (lambda tables: tables[METRICS].clear(), METRICS, {"There are figures"}),
    (
        _worse_than_popular,
        METRICS,
        {"The lists are no worse than showing everyone what is popular (NDCG)"},
    ),
]
WARNINGS = {"There are figures", "The lists are no worse than showing everyone what is popular (NDCG)"}


@pytest.mark.parametrize(("change", "table", "checks"), DEFECTS)
def test_a_defect_is_named(
    clean_lake: Path, validator: Validator, change: Change, table: str, checks: set[str]
) -> None:
    tables = candidate_tables(AS_OF, "r1")
    change(tables)
    write_candidates(clean_lake, tables)
    found = table_results(clean_lake, table, validator, "tables")
    assert not_passed(list(found.values())) == {
        check: "warning" if check in WARNINGS else "failed" for check in checks
    }


def test_a_small_catalogue_has_shorter_lists(clean_lake: Path) -> None:
    def only_19(tables: dict[str, Rows]) -> None:
        for item in tables["item_features"][19:]:
            item["is_active"] = False
        tables[RECOMMENDATIONS] = [row for row in tables[RECOMMENDATIONS] if row["rank"] <= 19]

    assert checked(clean_lake, only_19) == {}


def test_nobody_who_refused_was_forgotten_or_is_a_machine_has_a_portrait(lake: Path, validator: Validator) -> None:
    tables = sound()
    tables["users"][0]["has_personalization_consent"] = None
    provenance = {key: tables["users"][1][key] for key in ("arrived_on", "row_number")}
    asked = {"requested_at": tables["events"][0]["event_at"], "source_file": f"erasure_requests/{AS_OF}.csv"}
    tables["erasure_requests"] = [{"user_id": user_id(1), **asked, **provenance}]
    tables["bots"] = [{"user_id": user_id(2), "arrived_on": DAY, "rule": "pace", "evidence": "900 in a minute"}]
    write_clean(lake, tables)
    write_candidates(lake, candidate_tables(AS_OF, "r1"))
    assert not_passed(list(table_results(lake, PORTRAITS, validator, "tables").values())) == {
        "Nobody without consent has a portrait": "failed",
        "Nobody who asked to be forgotten has a portrait": "failed",
        "No machine has a portrait": "failed",
    }


def test_users_that_vanish_are_a_warning(clean_lake: Path, validator: Validator) -> None:
    write_candidates(clean_lake, candidate_tables(AS_OF, "r1"))
    check = "About as many users as the last published day"
    assert table_results(clean_lake, PORTRAITS, validator, "tables")[check].status == "passed"
    for run_id, hour, users in (("b", 1, 3), ("a", 2, 10)):  # the day was published twice: the last one stands
        before = candidate_tables("2026-10-30", run_id, users=users)[PORTRAITS]
        file = history_dir(clean_lake, PORTRAITS, "2026-10-30") / f"{run_id}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(arrow_table(PUBLISHED[PORTRAITS], before), file)
        run = {"run_id": run_id, "as_of_date": "2026-10-30", "status": "published"}
        record = clean_lake / "published" / "pipeline_runs" / f"{run_id}.json"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({**run, "published_at": f"2026-10-31T0{hour}:00:00"}))
    result = table_results(clean_lake, PORTRAITS, validator, "tables")[check]
    assert (result.status, result.observed) == ("warning", "0.3 times the users of the day before")


def test_the_clean_stage_of_another_run_does_not_count(clean_lake: Path) -> None:
    with pytest.raises(StepError, match="does not hold the checks of run r2"):
        checked(clean_lake, run_id="r2")


def test_a_table_that_was_not_built_is_named(clean_lake: Path) -> None:
    with pytest.raises(StepError, match=r"published.hot_items was not built"):
        checked(clean_lake, lambda tables: tables.pop("hot_items"))


def test_a_warning_of_the_clean_stage_is_kept(lake: Path) -> None:
    write_clean(lake, clean_rows())
    check_clean(lake, AS_OF, "r1")
    assert checked(lake) == {}
    table = pq.read_table(outputs_dir(lake, AS_OF) / "data_quality_results.parquet").to_pylist()
    assert [row["check_name"] for row in table if row["status"] == "warning"] == [
        "Few of the rows handed over are in quarantine"
    ]
