"""Checks of the candidate tables: a sound set passes, each defect is named by its check."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
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


def _blocked(tables: dict[str, Rows]) -> None:
    tables["item_features"][0]["category_path"] = "Home > Kitchen > Kettles"
    tables["active_rules"] = [{"rule_id": "r1", "action": "block", "category_path": "Home > Kitchen"}]


def _set(table: str, **values: Any) -> Change:
    return lambda tables: tables[table][0].update(values)


def _append_first(tables: dict[str, Rows]) -> None:
    tables["user_portraits"].append(tables["user_portraits"][0])


def _page_of_a_stranger(tables: dict[str, Rows]) -> None:
    for row in tables[PAGES][:20]:
        row["user_id"] = user_id(99)


def _too_small_a_module(tables: dict[str, Rows]) -> None:
    """One item alone is no module of what others looked at too."""
    tables[PAGES][19].update(module="because_you_viewed", module_rank=2, rank=1)


def _worse_than_popular(tables: dict[str, Rows]) -> None:
    for row in tables["model_metrics"]:
        row["baseline_value"] = 0.35


def _neighbours_found(share: float, alone: bool = False) -> Change:
    """Say that the search for like texts found `share`; `alone`: and that nothing else was measured."""

    def change(tables: dict[str, Rows]) -> None:
        row = {
            **tables["model_metrics"][0],
            "metric": "neighbour_recall",
            "protocol": "neighbours",
            "baseline_model": "exact_search",
            **dict.fromkeys(("value", "value_low", "value_high"), share),
            **dict.fromkeys(("measured_from", "measured_to"), date(2026, 10, 31)),
        }
        tables["model_metrics"] = [row] if alone else [*tables["model_metrics"], row]

    return change


RECOMMENDATIONS, PORTRAITS, METRICS = "home_recommendations", "user_portraits", "model_metrics"
TRAITS, SEGMENTS, ITEMS = "user_traits", "taste_segments", "item_portraits"
FULL_LIST = "Every user has a full list, ranked without gaps"
PAGES = "homepage_layouts"
IN_ORDER = "Modules follow each other from 1, each with its items from 1, in the order of the slots"
AS_LISTED = "What a page takes from the list is as the list has it"
EVIDENCE = "The evidence of every reason is there, and the reason says it"
HAS_PAGE = "Every user with recommendations has a page, and nobody else"
EXPLANATIONS, FILTERS = "recommendation_explanations", "recommendation_filters"
DID_BUY = "Whoever is told that they bought something did"
FIRST_IS_SHOWN = "The first piece of evidence is the reason shown"
STANDS = "What was taken out is not shown, what was moved stands where it is said"
DEFECTS: list[tuple[Change, str, set[str]]] = [
    (_drop_last, RECOMMENDATIONS, {FULL_LIST}),
    (_gap, RECOMMENDATIONS, {FULL_LIST, "Every rank is of 1 to 20"}),
    (_twice, RECOMMENDATIONS, {"No user is shown an item twice"}),
    (_inactive, RECOMMENDATIONS, {"Every item shown is in the catalogue and active"}),
    (_inactive, "hot_items", {"Every hot item is in the catalogue and active"}),
    (_stranger, RECOMMENDATIONS, {"Every list is of a user who has a portrait", FULL_LIST, DID_BUY}),
    (_set(RECOMMENDATIONS, probability=1.5), RECOMMENDATIONS, {"Every probability is a share"}),
    (
        _set(RECOMMENDATIONS, propensity=0.0, is_exploration=True),
        RECOMMENDATIONS,
        {"Every propensity is a share above zero"},
    ),
    (
        _set(RECOMMENDATIONS, propensity=0.5),
        RECOMMENDATIONS,
        {"What is shown for certain is no exploration, and the other way round"},
    ),
    (_set(RECOMMENDATIONS, evidence_id="i003"), RECOMMENDATIONS, {DID_BUY}),
    (
        _set(RECOMMENDATIONS, reason_code="because_you_viewed"),
        RECOMMENDATIONS,
        {"Whoever is told that they looked at something did"},
    ),
    (
        _set(RECOMMENDATIONS, reason_code="similar_text", evidence_id="i003"),
        RECOMMENDATIONS,
        {"Whatever is like something is like what the user acted on"},
    ),
    (
        _set(RECOMMENDATIONS, reason_code="little_known"),
        RECOMMENDATIONS,
        {"What is called new or little known is so by the rule for new items"},
    ),
    (_blocked, RECOMMENDATIONS, {"Nothing is shown that a rule of the shop blocks"}),
    (_set(EXPLANATIONS, contribution=0.6, evidence_id="i003"), EXPLANATIONS, {FIRST_IS_SHOWN}),
    (
        lambda tables: tables[EXPLANATIONS][1].update(contribution=0.7),
        EXPLANATIONS,
        {"The parts of a score add up to it"},
    ),
    (
        _set(EXPLANATIONS, recommendation_id="another"),
        EXPLANATIONS,
        {"Every explanation is of a recommendation", FIRST_IS_SHOWN},
    ),
    (_set(FILTERS, rank_after=3), FILTERS, {STANDS}),
    (_set(FILTERS, item_id="i000"), FILTERS, {STANDS}),
    (
        _set(FILTERS, rule="pinned"),
        FILTERS,
        {"Rules of the shop are named where they are behind it, and only there"},
    ),
    (_set(FILTERS, rule="exploration"), FILTERS, {"Every item drawn to explore has its row"}),
    (_set(RECOMMENDATIONS, reason_text=" "), RECOMMENDATIONS, {"Every reason can be read in English"}),
    (_set(RECOMMENDATIONS, reason_text_zh="ok"), RECOMMENDATIONS, {"Every reason can be read in Chinese"}),
    (_set(RECOMMENDATIONS, reason_code="magic"), RECOMMENDATIONS, {"Every reason is known"}),
    (
        _set(RECOMMENDATIONS, evidence_id="nothing"),
        RECOMMENDATIONS,
        {"The evidence of every reason is in the catalogue, a category of it, or a segment", DID_BUY},
    ),
    (_set(PORTRAITS, confidence=1.2), PORTRAITS, {"Every confidence is a share"}),
    (_set(PORTRAITS, orders_30d=0), PORTRAITS, {"A longer window has no fewer orders: 30 days, 7 days"}),
    (_set(PORTRAITS, segment=None), PORTRAITS, {"Every portrait has its segment"}),
    (_append_first, PORTRAITS, {"No portrait stands twice"}),
    (_set(PORTRAITS, portrait_text_zh="kitchen"), PORTRAITS, {"Every portrait can be read in Chinese"}),
    (_set(PORTRAITS, price_level=1.5), PORTRAITS, {"Every price level is of 0 to 1"}),
    (_set(PORTRAITS, taste_segment="t9"), PORTRAITS, {"Every user is in a taste segment that is told of"}),
    (
        _set(PORTRAITS, next_purchase_expected_on=date(2026, 10, 27)),
        PORTRAITS,
        {"Everybody whose next order is expected has ordered before"},
    ),
    (_set(TRAITS, trait="height"), TRAITS, {"Every trait is known"}),
    (
        _set(TRAITS, strength=1.2),
        TRAITS,
        {
            "Every strength is within its trait's bounds",
            "No user's affinities of one kind add up to more than one",
        },
    ),
    (_set(TRAITS, valid_from_at=datetime(2026, 11, 1)), TRAITS, {"No trait rests on what came after the day"}),
    (_set(TRAITS, valid_to_at=datetime(2026, 8, 30)), TRAITS, {"No trait stands that has faded out"}),
    (
        _set(TRAITS, user_id=user_id(99)),
        TRAITS,
        {"Every trait is of a user who has a portrait", "Every user who has a portrait has some trait"},
    ),
    (_set(SEGMENTS, users=2), SEGMENTS, {"Every segment has as many users as are in it"}),
    (_set(SEGMENTS, name_zh="Kitchen"), SEGMENTS, {"Every name can be read in Chinese"}),
    (
        lambda tables: tables[SEGMENTS].append({**tables[SEGMENTS][0], "taste_segment": "t2", "users": 0}),
        SEGMENTS,
        {"No two segments have one name"},
    ),
    (_set(ITEMS, item_id="x"), ITEMS, {"Every item of the catalogue has a portrait, and nothing else has"}),
    (_set(ITEMS, popularity_rank=2), ITEMS, {"Popularity ranks are 1 to the number of items, each once"}),
    (
        _set(ITEMS, buyer_segment="t9", buyer_segment_lift=1.0),
        ITEMS,
        {"Every segment named is a taste segment", "Every segment named buys it more than others"},
    ),
    (_set(PAGES, slot=21), PAGES, {"Slots of a page are numbered from 1 without gaps", IN_ORDER}),
    (_set(PAGES, module_rank=2), PAGES, {IN_ORDER}),
    (_set(PAGES, module_title="Other"), PAGES, {IN_ORDER}),
    (_set(PAGES, content_id="i001"), PAGES, {"Nothing stands twice on a page", AS_LISTED}),
    (_set(PAGES, content_id="i024", recommendation_id=None), PAGES, {AS_LISTED}),
    (_set(PAGES, propensity=0.5), PAGES, {AS_LISTED}),
    (_set(PAGES, reason_text="Because"), PAGES, {AS_LISTED}),
    (_set(PAGES, reason_text_zh="ok"), PAGES, {"Every reason can be read in Chinese"}),
    (_set(PAGES, module_title_zh="ok"), PAGES, {"Every title can be read in Chinese"}),
    (_inactive, PAGES, {"Every item on a page is in the catalogue and active"}),
    (_page_of_a_stranger, PAGES, {"Every page is of a user who has a portrait", HAS_PAGE, AS_LISTED}),
    (_too_small_a_module, PAGES, {"Every module has as many contents as it should"}),
    (_set(PAGES, evidence_id="nothing"), PAGES, {EVIDENCE}),
    (_set(PAGES, evidence_type="region", evidence_id="kettle"), PAGES, {EVIDENCE}),
    (_set(PAGES, evidence_type="price", evidence_id="12.00/9.50"), PAGES, {EVIDENCE}),
    (_set("similar_items", similar_item_id="i000"), "similar_items", {"No item is similar to itself"}),
    (
        _set(METRICS, measured_to=date(2026, 11, 3)),
        METRICS,
        {"Figures are of days that the lists were not made from"},
    ),
    (lambda tables: tables[METRICS].clear(), METRICS, {"There are figures"}),
    (_neighbours_found(1.0, alone=True), METRICS, {"There are figures"}),
    (
        _neighbours_found(0.9),
        METRICS,
        {"The search for like texts finds nearly all that an exact one does"},
    ),
    (
        _worse_than_popular,
        METRICS,
        {"The lists are no worse than showing everyone what is popular (NDCG)"},
    ),
]
WARNINGS = {
    "There are figures",
    "The lists are no worse than showing everyone what is popular (NDCG)",
    "The search for like texts finds nearly all that an exact one does",
}


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


def test_two_values_are_told_as_a_person_writes_them(clean_lake: Path, validator: Validator) -> None:
    tables = candidate_tables(AS_OF, "r1")
    tables["model_metrics"][0].update(value=0.25, value_low=0.5, value_high=0.75)
    write_candidates(clean_lake, tables)
    found = table_results(clean_lake, "model_metrics", validator, "tables")
    assert "such as (0.25, 0.5)" in found["No interval starts above its figure"].observed


def test_a_small_catalogue_has_shorter_lists(clean_lake: Path) -> None:
    def only_19(tables: dict[str, Rows]) -> None:
        for item in tables["item_features"][19:]:
            item["is_active"] = False
        for table in (RECOMMENDATIONS, PAGES):
            tables[table] = [row for row in tables[table] if row["rank"] <= 19]
        tables[EXPLANATIONS] = [r for r in tables[EXPLANATIONS] if not r["recommendation_id"].endswith("/20")]

    assert checked(clean_lake, only_19) == {}


def test_in_a_small_catalogue_a_list_may_lack_what_rules_removed(clean_lake: Path) -> None:
    def only_19(tables: dict[str, Rows]) -> None:
        for item in tables["item_features"][19:]:
            item["is_active"] = False
        for table in (RECOMMENDATIONS, PAGES):
            tables[table] = [row for row in tables[table] if row["rank"] <= 19]
        tables[EXPLANATIONS] = [r for r in tables[EXPLANATIONS] if not r["recommendation_id"].endswith("/20")]
        last = next(row for row in tables[RECOMMENDATIONS] if row["rank"] == 19)
        tables[RECOMMENDATIONS].remove(last)
        tables[PAGES] = [r for r in tables[PAGES] if (r["user_id"], r["rank"]) != (last["user_id"], 19)]
        name = last["recommendation_id"]
        tables[EXPLANATIONS] = [r for r in tables[EXPLANATIONS] if r["recommendation_id"] != name]
        if is_told:
            row = {**tables[FILTERS][0], "user_id": last["user_id"], "item_id": last["item_id"]}
            removed = {"rule": "dismissed", "action": "removed", "rank_before": 19, "rank_after": None}
            tables[FILTERS].append({**row, **removed})

    is_told = True
    assert FULL_LIST not in checked(clean_lake, only_19)
    is_told = False
    assert FULL_LIST in checked(clean_lake, only_19)


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
