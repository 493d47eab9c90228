"""The rule: who is promoted, who is kept out, and that the sentence names the number."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from ml.recommender.promotion import Contest, decide, metric_rows
from ml.recommender.tune import Targets

N_ITEMS = 50


def contest(n_users=300, **hit_rates):
    """Users with one target each; a contender puts it first for its share of the users (or as an array says)."""
    rng = np.random.default_rng(1)
    target = rng.integers(0, 25, n_users)
    lists = {}
    for name, rate in hit_rates.items():
        hit = rng.random(n_users) < rate
        rest = np.tile(np.arange(25, 45), (n_users, 1))
        rest[hit, 0] = target[hit]
        lists[name] = rest
    users = np.arange(n_users)
    segments = {"heavy": users < n_users // 2, "light": users >= n_users // 2, "new": np.zeros(n_users, bool)}
    return Contest(Targets(users, users, target), lists, segments, np.arange(N_ITEMS) < 10, N_ITEMS)


def worse_for_light(found: Contest, rate: float) -> Contest:
    """Take most of the challenger's hits among light users away."""
    lost = found.user_segments["light"] & (np.random.default_rng(2).random(len(found.targets.users)) > rate)
    found.lists["learned"][lost, 0] = 49
    return found


def test_a_clear_gain_over_the_blend_is_promoted_and_says_the_number():
    decision = decide(contest(learned=0.6, blend=0.4, popularity=0.1), "learned", "blend")
    assert decision.promoted
    assert decision.why.startswith("promoted because NDCG@20 of 300 users 0.")
    assert "of blend" in decision.why


def test_the_same_lists_are_no_gain():
    found = contest(blend=0.4, popularity=0.1)
    found.lists["learned"] = found.lists["blend"]
    decision = decide(found, "learned", "blend")
    assert not decision.promoted
    assert "no clear gain" in decision.why


def test_a_worse_challenger_is_kept_out():
    assert not decide(contest(learned=0.3, blend=0.5), "learned", "blend").promoted


def test_a_gain_that_may_be_chance_is_kept_out():
    assert not decide(contest(n_users=60, learned=0.42, blend=0.4), "learned", "blend").promoted


def test_a_segment_that_falls_stops_a_gain_overall():
    found = worse_for_light(contest(learned=0.95, blend=0.4), 0.2)
    decision = decide(found, "learned", "blend")
    assert next(d for d in decision.differences if d.segment == "all").mean > 0
    assert not decision.promoted
    assert "light falls by" in decision.why


def test_a_segment_of_few_users_decides_nothing():
    found = worse_for_light(contest(learned=0.95, blend=0.4), 0.2)
    users = np.arange(300)
    few = {"heavy": users < 230, "light": users >= 230, "new": np.zeros(300, bool)}
    found = Contest(found.targets, found.lists, few, np.zeros(N_ITEMS, bool), N_ITEMS)
    assert decide(found, "learned", "blend").promoted


def test_who_beats_the_champion_but_not_a_simple_baseline_is_kept_out():
    decision = decide(contest(learned=0.5, champion=0.3, blend=0.7), "learned", "champion")
    assert not decision.promoted
    assert "baseline blend" in decision.why


def test_too_few_users_decide_nothing():
    decision = decide(contest(n_users=49, learned=1.0, blend=0.0), "learned", "blend")
    assert not decision.promoted
    assert "too few" in decision.why


def test_nobody_bought_anything():
    decision = decide(contest(n_users=0, learned=1.0, blend=0.0), "learned", "blend")
    assert (decision.promoted, decision.figures) == (False, [])


def test_head_and_tail_split_the_targets():
    found = contest(learned=1.0, blend=0.0)
    segments = found.segments()
    assert set(segments) == {"all", "heavy", "light", "head_items", "tail_items"}
    head, tail = segments["head_items"][1], segments["tail_items"][1]
    assert head.item.max() < 10 <= tail.item.min()
    assert len(head.users) + len(tail.users) == 300


def test_rows_of_model_metrics_hold_the_champions_and_popularitys_figure():
    decision = decide(contest(learned=0.6, champion=0.4, popularity=0.1), "learned", "champion")
    recorded = {"figures": [asdict(f) for f in decision.figures], "champion": "champion"}
    rows = metric_rows(recorded, "popularity")
    assert {r["model"] for r in rows} == {"learned", "champion"}
    figure = {(f.model, f.segment, f.metric, f.k): f.value for f in decision.figures}
    row = next(
        r for r in rows if (r["model"], r["segment"], r["metric"], r["k"]) == ("learned", "all", "ndcg", 20)
    )
    assert row["value"] == pytest.approx(figure["learned", "all", "ndcg", 20], abs=1e-6)
    assert row["champion_value"] == pytest.approx(figure["champion", "all", "ndcg", 20], abs=1e-6)
    assert row["baseline_value"] == pytest.approx(figure["popularity", "all", "ndcg", 20], abs=1e-6)
    assert {r["champion_value"] for r in metric_rows({**recorded, "champion": None}, "popularity")} == {None}
