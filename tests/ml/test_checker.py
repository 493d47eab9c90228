"""The checker finds every lie that is planted, and none where there is none."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from ml.explain import reasons
from ml.explain.checker import Known, check_reasons, faults
from ml.explain.parts import LEARNED_PARTS, group_of
from ml.explain.reasons import CODES, reason_texts, segment_names
from ml.recommender.candidates import FEATURES
from qianmian.step import StepError

from .conftest import AS_OF, step_args

KNOWN = Known(
    last_day=AS_OF,
    titles={"mug": "Mug (big) *", "tea": "红茶", "pot": "Pot", "new": "New pot"},
    categories={"mug": "Kitchen", "pot": "Kitchen", "new": "Kitchen", "tea": "Food"},
    created_on={"new": date(2026, 10, 20), "pot": date(2026, 1, 1)},
    segments={"u1": "loyal", "u2": "newcomers"},
    bought={("u1", "mug"), ("u1", "tea")},
    viewed={("u1", "tea"), ("u1", "pot"), ("u2", "mug")},
    likes=Counter({("u1", "Kitchen"): 2, ("u1", "Food"): 1, ("u2", "Kitchen"): 1}),
)


def row(code: str, evidence: str, item: str = "pot", user: str = "u1", type_: str = "item", **changes):
    names = {"segment": segment_names(evidence), "category": (evidence, evidence)}
    title = KNOWN.titles.get(evidence, evidence)
    english, chinese = reason_texts(code, names.get(type_, (title, title)), evidence == item)
    return {
        "user_id": user, "recommendation_id": "r", "item_id": item, "reason_code": code, "reason_text": english,
        "reason_text_zh": chinese, "evidence_type": type_, "evidence_id": evidence, "contribution": 0.5,
        "is_promoted": False, **changes,
    }  # fmt: skip


TRUE = [
    row(reasons.BOUGHT, "mug"),
    row(reasons.BOUGHT, "tea"),
    row(reasons.VIEWED, "tea"),
    row(reasons.VIEWED, "pot", item="pot"),
    row(reasons.SIMILAR, "mug"),
    row(reasons.BUY_AGAIN, "tea", item="tea"),
    row(reasons.IN_SEGMENT, "loyal", type_="segment"),
    row(reasons.POPULAR, "all", type_="segment"),
    row(reasons.NEW_IN_CATEGORY, "Kitchen", item="new", type_="category", is_promoted=True),
    row(reasons.LITTLE_KNOWN, "pot", item="pot", is_promoted=True),
]
LIES = [
    (row(reasons.BOUGHT, "pot", item="mug"), "never bought pot"),
    (row(reasons.BOUGHT, "mug", user="u2"), "never bought mug"),
    (row(reasons.BOUGHT, "mug", reason_text="Because you bought 红茶"), "names '红茶'"),
    (row(reasons.BOUGHT, "mug", reason_text_zh="因为你买过“红茶”"), "names '红茶'"),
    (row(reasons.BOUGHT, "mug", reason_text="Because you looked at Mug (big) *"), "no text of"),
    (row(reasons.BOUGHT, "mug", item="mug"), "no reason for itself"),
    (row(reasons.BOUGHT, "gone"), "in no catalogue"),
    (row(reasons.VIEWED, "mug"), "never looked at mug"),
    (row(reasons.VIEWED, "tea", reason_text="You looked at this before"), "no text of"),
    (row(reasons.VIEWED, "pot", item="pot", reason_text="Because you looked at Pot"), "disagree"),
    (row(reasons.SIMILAR, "new"), "never had to do with new"),
    (row(reasons.BUY_AGAIN, "tea", item="mug"), "cannot rest on tea"),
    (row(reasons.BUY_AGAIN, "pot", item="pot"), "never bought pot"),
    (row(reasons.IN_SEGMENT, "newcomers", type_="segment"), "not of the segment newcomers"),
    (row(reasons.IN_SEGMENT, "loyal", type_="segment", reason_text="Popular with newcomers"), "names 'newcomers'"),
    (row(reasons.POPULAR, "loyal", type_="segment"), "what everyone likes"),
    (row(reasons.POPULAR, "all", type_="segment", reason_text="Popular right now in Kitchen"), "no text of"),
    (row(reasons.NEW_IN_CATEGORY, "Kitchen", item="new", type_="category"), "no rule for new items"),
    (row(reasons.NEW_IN_CATEGORY, "Food", item="new", type_="category", is_promoted=True), "not of the category"),
    (row(reasons.NEW_IN_CATEGORY, "Kitchen", item="pot", type_="category", is_promoted=True), "more than 30 days"),
    (
        row(reasons.NEW_IN_CATEGORY, "Kitchen", item="new", user="u2", type_="category", is_promoted=True),
        "does not follow",
    ),
    (row(reasons.LITTLE_KNOWN, "pot", item="pot"), "no rule for new items"),
    (row(reasons.BOUGHT, "mug", contribution=0.0), "gave nothing"),
    (row(reasons.BOUGHT, "mug", evidence_type="segment"), "cannot rest on a segment"),
    (row(reasons.BOUGHT, "mug", reason_code="magic"), "no reason"),
]


def test_what_is_true_passes():
    assert list(faults(TRUE, KNOWN)) == []
    assert {one["reason_code"] for one in TRUE} == set(CODES)


@pytest.mark.parametrize(("lie", "told"), LIES)
def test_every_lie_is_found(lie, told):
    found = list(faults([*TRUE, lie], KNOWN))
    assert found
    assert all(one is lie for one, _ in found)
    assert any(told in wrong for _, wrong in found)


def test_a_day_without_lists_says_what_to_do(lake_of):
    lake = lake_of(item_features=[{"item_id": "a", "item_text": "a", "text_hash": "0" * 64, "is_active": True}])
    with pytest.raises(StepError, match="is not there"):
        check_reasons(step_args(lake))


def test_each_feature_of_the_trees_belongs_to_a_part():
    assert {group_of(feature) for feature in FEATURES} <= set(LEARNED_PARTS)
    with pytest.raises(KeyError):
        group_of("zodiac")
