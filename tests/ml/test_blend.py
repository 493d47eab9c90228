"""Scores are sums of what they are explained by; rules bar what they say they bar."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.explain import reasons
from ml.explain.reason_rows import reason_codes
from ml.recommender.blend import BUY_AGAIN, ITEM_TO_ITEM, POPULAR, TEXT, Blend, learn, top_items
from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.history import build_history
from ml.recommender.popular import Popularity
from ml.recommender.settings import BlendSettings
from ml.recommender.text_neighbours import text_similarities

AS_OF = 100.0
N_ITEMS = 12
SETTINGS = BlendSettings(revisit_weight=2.0, text_weight=3.0, buy_again_weight=20.0, popular_weight=0.2)
LIKED, FOLLOWER, ALIKE, STAPLE, SEEN, RETURNED, DISMISSED = range(7)


def log_from(rows: list[tuple[int, float, int, str]], n_users: int) -> ActionLog:
    """Rows are (user, time, item, event); each day of a user is a step."""
    rows = sorted(rows)
    user = np.array([r[0] for r in rows])
    time = np.array([r[1] for r in rows])
    _, step = np.unique(user * 1000 + np.floor(time).astype(int), return_inverse=True)
    return ActionLog(
        user,
        np.array([r[2] for r in rows]),
        np.array([EVENT_CODES[r[3]] for r in rows], dtype=np.int8),
        time,
        step,
        np.ones(len(rows)),
        n_users,
        N_ITEMS,
    )


def shop_rows() -> list[tuple[int, float, int, str]]:
    """Users 1 to 20 buy LIKED, then FOLLOWER, and STAPLE every week; user 0 is the one looked at."""
    others = [
        row
        for user in range(1, 21)
        for row in (
            (user, 50.0, LIKED, "purchase"),
            (user, 55.0, FOLLOWER, "purchase"),
            *[(user, 60.0 + 7 * week, STAPLE, "purchase") for week in range(4)],
        )
    ]
    mine = [
        (0, 90.0, LIKED, "purchase"),
        (0, 70.0, STAPLE, "purchase"),
        (0, 80.0, STAPLE, "purchase"),
        (0, 98.0, SEEN, "view"),
        (0, 91.0, RETURNED, "purchase"),
        (0, 94.0, RETURNED, "return"),
        (0, 97.0, DISMISSED, "view"),
        (0, 97.1, DISMISSED, "dismiss"),
    ]
    return others + mine


def make_blend(rows: list[tuple[int, float, int, str]], settings: BlendSettings = SETTINGS) -> Blend:
    vectors = np.eye(N_ITEMS, 20, dtype=np.float32)
    vectors[ALIKE] = 0.8 * vectors[SEEN] + 0.6 * vectors[ALIKE]
    active = np.ones(N_ITEMS, dtype=bool)
    active[N_ITEMS - 1] = False
    scores = np.ones((2, N_ITEMS))
    scores[0, 8] = 50.0
    log = log_from(rows, 22)
    text = text_similarities(vectors, active, settings)
    return Blend(learn(log, text, Popularity.of(scores), active, AS_OF, settings), settings)


def score_of(blend: Blend, rows: list[tuple[int, float, int, str]]) -> np.ndarray:
    history = build_history(log_from([r for r in rows if r[0] == 0], 1), AS_OF, blend.settings)
    return blend.score(history, np.array([0]))[0]


@pytest.fixture(scope="module")
def blend() -> Blend:
    return make_blend(shop_rows())


@pytest.fixture(scope="module")
def explained(blend):
    history = build_history(log_from([r for r in shop_rows() if r[0] == 0], 1), AS_OF, blend.settings)
    items, scores = top_items(blend.score(history, np.array([0])), 20)
    return items[0], scores[0], blend.explain(history, np.array([0]), items)


def test_a_score_is_the_sum_of_its_sources(explained):
    items, scores, evidence = explained
    there = items >= 0
    assert evidence.by_source[0, there].sum(axis=1) == pytest.approx(scores[there], abs=1e-6)


def test_each_source_is_named_where_it_decides(explained):
    items, _, evidence = explained
    by_item = dict(zip(items.tolist(), evidence.source[0].tolist(), strict=True))
    assert by_item[FOLLOWER] == ITEM_TO_ITEM
    assert by_item[ALIKE] == TEXT
    assert by_item[STAPLE] == BUY_AGAIN
    assert by_item[SEEN] == ITEM_TO_ITEM
    assert by_item[8] == POPULAR


def test_each_reason_names_its_evidence(explained):
    items, _, evidence = explained
    codes = reason_codes(evidence.source[0], evidence.is_bought[0], evidence.is_from_segment[0])
    found = {i: (code, e) for i, code, e in zip(items.tolist(), codes, evidence.item[0].tolist(), strict=True)}
    assert found[FOLLOWER] == (reasons.BOUGHT, LIKED)
    assert found[ALIKE] == (reasons.SIMILAR, SEEN)
    assert found[STAPLE] == (reasons.BUY_AGAIN, STAPLE)
    assert found[SEEN] == (reasons.VIEWED, SEEN)
    assert found[8] == (reasons.IN_SEGMENT, -1)
    assert found[9] == (reasons.POPULAR, -1)


def test_without_its_evidence_an_item_loses_exactly_the_contribution(blend, explained):
    items, scores, evidence = explained
    checked = 0
    for place, listed in enumerate(items.tolist()):
        behind = int(evidence.item[0, place])
        if behind < 0:
            continue
        without = [r for r in shop_rows() if not (r[0] == 0 and r[2] == behind)]
        contribution = evidence.from_item[0, place]
        assert contribution > 0
        assert score_of(blend, without)[listed] == pytest.approx(scores[place] - contribution, abs=2e-6)
        checked += 1
    assert checked >= 4


def test_without_its_segment_a_popular_item_loses_its_contribution(explained, blend):
    items, scores, evidence = explained
    place = items.tolist().index(8)
    history = build_history(log_from([r for r in shop_rows() if r[0] == 0], 1), AS_OF, blend.settings)
    flat = np.ones((2, N_ITEMS))
    flat[0] = 0.0
    other = Blend(replace(blend.items, popularity=Popularity.of(flat)), blend.settings)
    lower = other.score(history, np.array([0]))[0, 8]
    assert lower == pytest.approx(scores[place] - evidence.from_item[0, place], abs=2e-6)


def test_inactive_dismissed_and_returned_items_are_never_listed(explained):
    assert not {N_ITEMS - 1, DISMISSED, RETURNED} & set(explained[0].tolist())


def test_a_returned_item_lowers_what_is_like_it():
    rows = [(user, 50.0 + day, item, "purchase") for user in range(1, 9) for day, item in ((0, 7), (5, 8))]
    kept = [*rows, (0, 90.0, 7, "purchase")]
    returned = [*kept, (0, 95.0, 7, "return")]
    blend = make_blend(rows)
    neutral = score_of(blend, [(0, 90.0, 10, "purchase")])[8]
    assert score_of(blend, returned)[8] < neutral < score_of(blend, kept)[8]


def test_a_partly_returned_item_stays_bought():
    rows = [(0, 90.0, 7, "purchase"), (0, 91.0, 7, "purchase"), (0, 95.0, 7, "return")]
    history = build_history(log_from(rows, 1), AS_OF, SETTINGS)
    assert not history.is_returned[0]
    assert history.interest[0] > 0


def test_a_shop_without_a_past_has_an_empty_history():
    """As a shop in its first week has, held out for its measures."""
    history = build_history(log_from([], 3), AS_OF, SETTINGS)
    assert len(history.user) == len(history.interest) == 0
    assert history.n_users == 3


def test_bought_items_come_back_only_where_the_shop_repeats(blend):
    assert blend.allows_repeats
    assert np.isfinite(score_of(blend, shop_rows())[LIKED])
    once = [r for r in shop_rows() if r[2] != STAPLE]
    strict = make_blend(once)
    assert not strict.allows_repeats
    assert score_of(strict, once)[LIKED] == -np.inf


def test_the_later_of_two_equal_actions_weighs_more():
    history = build_history(log_from([(0, 40.0, 3, "view"), (0, 99.0, 4, "view")], 1), AS_OF, SETTINGS)
    assert history.interest[1] > history.interest[0] > 0


def test_interest_halves_with_the_half_life():
    settings = replace(SETTINGS, half_life=10.0, recency_floor=0.0)
    history = build_history(log_from([(0, 90.0, 3, "purchase"), (0, 80.0, 4, "purchase")], 1), AS_OF, settings)
    assert history.interest == pytest.approx([0.5, 0.25])


def test_top_items_break_ties_by_position():
    scores = np.array([[1.0, 2.0, 2.0, 1.0, 1.0], [0.0, -np.inf, -np.inf, -np.inf, 5.0]])
    items, values = top_items(scores, 3)
    assert items.tolist() == [[1, 2, 0], [4, 0, -1]]
    assert values[0].tolist() == [2.0, 2.0, 1.0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("length", [1, 7, 40, 60])
def test_top_items_are_those_of_a_whole_sort(kind: type, length: int) -> None:
    """Most cells are barred or equal, as a source's are that knows little."""
    rng = np.random.default_rng(length)
    scores = rng.integers(0, 4, (200, 40)).astype(kind)
    scores[rng.random(scores.shape) < rng.random((200, 1))] = -np.inf
    items, values = top_items(scores, length)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :length]
    expected = np.take_along_axis(scores, order, axis=1)
    assert np.array_equal(items, np.where(np.isfinite(expected), order, -1))
    assert np.array_equal(values, expected)


def test_lists_are_as_long_as_the_catalogue_allows():
    items, _ = top_items(np.array([[1.0, 2.0]]), 20)
    assert items.tolist() == [[1, 0]]
