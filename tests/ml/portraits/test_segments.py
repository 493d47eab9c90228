"""Segments: found where they are, with ids that last."""

from __future__ import annotations

import json

import numpy as np
import pytest

from expectations.tables import outputs_dir
from ml.portraits.segment_words import Group, description, names
from ml.portraits.segments import EVERYONE, NEWCOMERS, Segments, earlier_centroids, find_segments, write_centroids

TASTES = ("Books", "Garden", "Pets", "Tea", "Toys")


def people(seed: int, n: int = 300, tastes: int = 5) -> tuple[dict, dict, np.ndarray, np.ndarray]:
    """Users of a few tastes each: shares, leanings, evidence, and the true taste."""
    rng = np.random.default_rng(seed)
    true = np.arange(n) % tastes
    weights = rng.dirichlet(np.ones(len(TASTES)), n) * 0.4
    weights[np.arange(n), true] += 0.6
    shares = {name: weights[:, k] for k, name in enumerate(TASTES)}
    leanings = {"price_level": np.clip(rng.normal(0.5, 0.1, n), 0, 1), "log_gap": rng.normal(2.5, 0.3, n)}
    return shares, leanings, np.full(n, 50.0), true


def find(data, earlier=None) -> Segments:
    return find_segments(data[0], data[1], data[2], earlier)


def agreement(found: Segments, true: np.ndarray) -> float:
    """Share of users in the segment that most of their taste are in."""
    return sum(np.bincount(found.of_user[true == t]).max() for t in np.unique(true)) / len(true)


def test_tastes_are_found_and_their_number():
    data = people(0)
    found = find(data)
    assert list(found.ids) == [*(f"taste-{n:02d}" for n in range(1, 6)), NEWCOMERS]
    assert agreement(found, data[3]) > 0.98


def test_the_same_users_the_next_day_stay_where_they_are():
    data = people(1)
    first = find(data)
    second = find(data, first.centroids)
    assert second.report["start"] == "earlier day"
    assert (second.of_user == first.of_user).all()
    assert second.centroids == first.centroids


def test_a_few_new_users_move_hardly_anybody():
    data = people(2)
    first = find(data)
    more = people(3, 30)
    joined = (
        {k: np.r_[data[0][k], more[0][k]] for k in data[0]},
        {k: np.r_[data[1][k], more[1][k]] for k in data[1]},
        np.r_[data[2], more[2]],
    )
    second = find(joined, first.centroids)
    assert list(second.ids) == list(first.ids)
    assert (second.of_user[:300] == first.of_user).mean() > 0.98


def test_a_shop_that_changes_keeps_the_ids_of_what_stays_and_gives_new_ones():
    first = find(people(4, tastes=4))
    assert len(first.ids) == 5
    shares, leanings, evidence, _ = people(5, tastes=5)
    # all of one old taste have gone, two new tastes have come, strongly
    shares = {**shares, "Toys": shares["Garden"], "Garden": np.zeros(300), "Sports": shares["Toys"]}
    second = find((shares, leanings, evidence), first.centroids)
    assert second.report["start"] in ("afresh, ids matched", "earlier day")
    before = dict(zip(first.ids, first.centroids.points, strict=False))
    for one in set(second.ids) & set(before) - {NEWCOMERS}:
        strongest = TASTES[int(np.argmax(before[one][:5]))]
        users = second.of_user == list(second.ids).index(one)
        assert shares[strongest][users].mean() > 0.5, one
    new = set(second.ids) - set(first.ids)
    assert all(int(name.removeprefix("taste-")) > 4 for name in new)


def test_who_has_too_little_is_a_newcomer_and_few_users_make_no_segments():
    shares, leanings, evidence, _ = people(6)
    evidence[:10] = 1.0
    evidence[10:20] = 5.0
    found = find((shares, leanings, evidence))
    assert (found.ids[found.of_user[:10]] == NEWCOMERS).all()
    assert (found.ids[found.of_user[10:]] != NEWCOMERS).all()
    assert not found.is_former[:20].any()
    few = find_segments(
        {k: v[:20] for k, v in shares.items()}, {k: v[:20] for k, v in leanings.items()}, evidence[:20], None
    )
    assert list(few.ids) == [EVERYONE, NEWCOMERS]
    assert few.centroids is None


def test_only_earlier_days_are_read(tmp_path):
    for seed, day in ((7, "2026-10-29"), (8, "2026-10-30"), (9, "2026-10-31")):
        write_centroids(tmp_path, day, find(people(seed)).centroids)
    assert earlier_centroids(tmp_path, "2026-10-29") is None
    assert earlier_centroids(tmp_path, "2026-10-31") == find(people(8)).centroids
    assert earlier_centroids(tmp_path, "2026-12-01") == find(people(9)).centroids
    write_centroids(tmp_path, "2026-10-31", None)
    assert not list(outputs_dir(tmp_path, "2026-10-31").iterdir())
    text = next(outputs_dir(tmp_path, "2026-10-30").iterdir()).read_text()
    assert json.loads(text)["ids"] == [f"taste-{n:02d}" for n in range(1, 6)]


def group(name: str, books: float, level: float = 0.5) -> Group:
    return Group(
        name, 10, {"category": {"Books": (books, 0.2), "茶叶": (1 - books, 0.8)}, "brand": {}},
        {"price_level": (level, 0.5, 0.1), "log_gap": (float("nan"), 2.0, 0.5)},
    )  # fmt: skip


def test_a_segment_is_named_by_what_sets_it_apart_and_no_two_alike():
    groups = [group("taste-01", 0.6), group("taste-02", 0.7, 0.3), group("taste-03", 0.6), group("taste-04", 0.2)]
    assert names(groups) == [
        ("Books shoppers", "爱逛Books的顾客"),
        ("Books shoppers who buy cheaper", "爱逛Books、偏好低价的顾客"),
        ("Books shoppers (taste-03)", "爱逛Books的顾客（taste-03）"),
        ("All-round shoppers", "什么都逛的顾客"),
    ]
    assert names([group(NEWCOMERS, 0.5)]) == [("Newcomers", "新面孔")]


def test_a_description_has_the_numbers():
    assert description(group("taste-02", 0.6, 0.3)) == (
        "Books makes up 60% of what they act on, 3.0 times everyone's share; price level 0.30 (everyone 0.50).",
        "Books占其行为的60%，是全体用户的3.0倍；价格水平0.30（全体0.50）。",
    )
    assert description(group("taste-04", 0.0)) == (
        pytest.approx("茶叶 makes up 100% of what they act on, 1.2 times everyone's share."),
        "茶叶占其行为的100%，是全体用户的1.2倍。",
    )
