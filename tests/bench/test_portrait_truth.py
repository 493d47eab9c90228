"""The bench's own arithmetic, on beliefs whose truth is set here."""

from __future__ import annotations

import numpy as np
import pytest

from bench.portrait_truth import Judge, TrueUser, best_fading, by_history, calibration, can_be_judged
from ml.portraits.belief import FADING

TRUE = TrueUser({"a": 0.5, "b": 0.3, "c": 0.1, "d": 0.1}, {"x": 0.4, "y": 0.6}, 0.3, 10.0, 30, 23.0, "web")
OTHER = TrueUser({"a": 0.1, "b": 0.1, "c": 0.3, "d": 0.5}, {"x": 0.0, "y": 1.0}, 0.7, 10.0, -1, 5.0, "ios")


def beliefs(trait: str, n: int = 4000, seed: int = 0):
    """Beliefs that are right as often, beyond a chance of 0.4, as their confidence says."""
    rng = np.random.default_rng(seed)
    rule = FADING[trait]
    confidence = rule.ceiling * -np.expm1(-rng.exponential(30, n) / rule.n0)
    right = rng.random(n) < 0.4 + 0.6 * confidence
    return [
        {
            "trait": trait, "user_id": f"{k:032x}", "confidence": float(c), "right": bool(r), "evidence_count": 1,
            "by_chance": k % 5 < 2, "actions": 1 + k % 150, "strength": float(c),
        }
        for k, (c, r) in enumerate(zip(confidence, right, strict=True))
    ]  # fmt: skip


def test_what_is_calibrated_has_no_error_and_gives_its_own_numbers_back():
    rows = beliefs("category_affinity")
    [found] = calibration(rows)
    assert found["calibration_error"] < 0.03
    wrong = [row | {"confidence": min(1.0, row["confidence"] + 0.25)} for row in rows]
    assert calibration(wrong)[0]["calibration_error"] > 0.15
    rule = FADING["category_affinity"]
    best = best_fading([*rows, *beliefs("platform"), *beliefs("active_hour"), *beliefs("brand_affinity"),
                        *beliefs("purchase_rhythm"), *beliefs("taste_segment")])  # fmt: skip
    [mine] = [row for row in best if row["trait"] == "category_affinity"]
    assert mine["ceiling"] == pytest.approx(rule.ceiling, abs=0.051)
    assert mine["n0"] == pytest.approx(rule.n0, rel=0.35)


def test_figures_are_told_by_how_much_is_known_of_a_user():
    rows = by_history(beliefs("platform"), {})
    assert [row["actions"] for row in rows] == ["1-9", "10-29", "30-99", "100+", "1+"]
    assert rows[-1]["beliefs"] == 4000
    assert rows[-1]["by_chance"] == 0.4


@pytest.mark.parametrize(
    ("trait", "value", "strength", "subject", "right"),
    [
        ("category_affinity", "", 0.4, "c", True),
        ("category_affinity", "", 0.4, "d", False),
        ("taste_segment", "s", None, "all", True),
        ("brand_affinity", "", 0.4, "x", True),
        ("brand_affinity", "", 0.4, "y", False),
        ("price_level", "low", 0.3, "all", True),
        ("price_level", "high", 0.7, "all", False),
        ("purchase_rhythm", "", 19.0, "all", True),
        ("purchase_rhythm", "", 21.0, "all", False),
        ("next_purchase", "", 2.0, "all", True),
        ("next_purchase", "", -3.0, "all", False),
        ("lifecycle_stage", "loyal", None, "all", True),
        ("lifecycle_stage", "dormant", None, "all", False),
        ("active_hour", "00:00", 0.5, "all", True),
        ("active_hour", "02:00", 0.5, "all", False),
        ("platform", "web", 0.5, "all", True),
        ("platform", "ios", 0.5, "all", False),
    ],
)
def test_what_counts_as_right(trait, value, strength, subject, right):
    judge = Judge({"u": TRUE, "v": OTHER}, {"u": [4]}, {"s": "b"})
    judge.middle = {"believed": 0.5, "true": 0.5}
    row = {"trait": trait, "value": value, "strength": strength, "subject": subject, "gap": 6.0}
    assert judge.is_right("u", row, "2026-10-31") is right


def test_only_orders_that_would_be_known_are_judged():
    assert can_be_judged({"trait": "next_purchase", "strength": 3.0, "gap": 8.0})
    assert not can_be_judged({"trait": "next_purchase", "strength": 3.1, "gap": 8.0})
    assert can_be_judged({"trait": "platform", "strength": None, "gap": None})
