"""Confidence: grows with evidence, fades with silence, and is forgotten on the day that is said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.portraits.belief import FADING, FLOOR, HALF_LIFE, Drawn, Fading, fading_belief
from ml.portraits.evidence import WEIGHTS

RULES = [*FADING.values(), *(Drawn(days, 40.0) for days in HALF_LIFE.values())]
AMOUNT = st.floats(0.01, 1e4)
SILENCE = st.floats(0, 5000)


def one(rule: Fading | Drawn, evidence: float, silence: float) -> float:
    return float(rule.confidence(np.array([evidence]), np.array([silence]))[0])


def test_known_answers():
    rule = Fading(half_life=30, n0=10, ceiling=0.8)
    assert one(rule, 10, 0) == pytest.approx(0.8 * (1 - np.exp(-1)))
    assert one(rule, 20, 30) == pytest.approx(one(rule, 10, 0))  # half is left after 30 days
    drawn = Drawn(half_life=30, size=5)
    assert one(drawn, 5, 0) == pytest.approx(0.5)  # correlation sqrt(1/2): the arcsine is a quarter turn
    assert one(drawn, 10, 30) == pytest.approx(0.5)


@given(st.sampled_from(RULES), AMOUNT, AMOUNT, SILENCE)
def test_more_evidence_is_never_less_sure(rule, evidence, more, silence):
    assert 0 <= one(rule, evidence, silence) <= one(rule, evidence + more, silence) <= 1


@given(st.sampled_from(RULES), AMOUNT, SILENCE, st.floats(0, 100))
def test_silence_never_makes_surer_and_a_day_takes_little(rule, evidence, silence, longer):
    now = one(rule, evidence, silence)
    assert one(rule, evidence, silence + longer) <= now + 1e-12
    assert now - one(rule, evidence, silence + 1) < 0.02


@given(st.sampled_from(RULES), st.floats(1, 1e4))
def test_it_is_forgotten_when_that_was_said(rule, evidence):
    days = float(rule.days_until_forgotten(np.array([evidence]))[0])
    if days > 0:
        assert one(rule, evidence, days) == pytest.approx(FLOOR, abs=1e-9)
    else:
        assert one(rule, evidence, 0.0) <= FLOOR + 1e-9


def test_what_is_under_the_floor_is_left_out_with_its_words():
    numbers = np.array([1.0, 0.01, 3.0])
    belief = fading_belief(
        "platform", np.arange(3), "all", np.array(["a", "b", "c"], dtype=object), numbers, numbers,
        (np.zeros(3), np.full(3, 9.0)), np.array([1, 2, 3]), 10.0, lambda row: (f"row {row}", f"第{row}行"),
    )  # fmt: skip
    assert belief.user.tolist() == [0, 2]
    assert [belief.words(row)[0] for row in range(2)] == ["row 0", "row 2"]
    assert (belief.until > 10.0).all()


def test_weights_are_those_of_the_features():
    macro = Path(__file__).parents[3] / "dbt_project" / "macros" / "weights.sql"
    found = {event: int(weight) for event, weight in re.findall(r"when '(\w+)' then (\d+)", macro.read_text())}
    assert found == WEIGHTS
