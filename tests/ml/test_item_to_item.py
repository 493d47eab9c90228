"""Co-occurrence on logs so small that the counts can be written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml.recommender import item_to_item
from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.item_to_item import count_cooccurrences, normalise, steps_by_items, trend
from ml.recommender.settings import BlendSettings

A, B, C = range(3)
SETTINGS = BlendSettings(step_decay=0.5, backward=0.3, same_step=1.0, step_size_power=0.0)
ALL = np.ones(3, dtype=bool)


def log_of(*rows: tuple[int, int, int, float], n_items: int = 3, event: str = "purchase") -> ActionLog:
    """Rows are (user, step, item, time)."""
    user, step, item, time = (np.array(column) for column in zip(*rows, strict=True))
    codes = np.full(len(rows), EVENT_CODES[event], dtype=np.int8)
    return ActionLog(user, item, codes, time.astype(float), step, np.ones(len(rows)), int(user.max()) + 1, n_items)


def test_what_follows_counts_more_than_what_went_before():
    counts, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 1, B, 1), (0, 2, C, 2)), ALL, SETTINGS)
    assert counts.toarray() == pytest.approx(np.array([[0, 1, 0.5], [0.3, 0, 1], [0.15, 0.3, 0]]))


def test_one_order_has_no_direction():
    counts, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 0, B, 0)), ALL, SETTINGS)
    assert counts.toarray() == pytest.approx(np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))


def test_users_are_not_linked():
    counts, _ = count_cooccurrences(log_of((0, 0, A, 0), (1, 1, B, 1)), ALL, SETTINGS)
    assert counts.nnz == 0


def test_a_large_order_says_less_about_each_pair():
    pair = replace(SETTINGS, step_size_power=0.5)
    counts, support = count_cooccurrences(log_of((0, 0, A, 0), (0, 0, B, 0)), ALL, pair)
    assert counts[A, B] == pytest.approx(0.5)
    assert support == pytest.approx([2**-0.5, 2**-0.5, 0])


def test_a_line_twice_in_an_order_counts_once():
    once, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 0, B, 0)), ALL, SETTINGS)
    twice, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 0, A, 0), (0, 0, B, 0)), ALL, SETTINGS)
    assert twice.toarray() == pytest.approx(once.toarray())


def test_only_candidates_are_neighbours():
    counts, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 1, B, 1)), np.array([True, False, True]), SETTINGS)
    assert counts[:, B].nnz == 0
    assert counts[B, A] == pytest.approx(0.3)


def test_dismissals_are_no_cooccurrence():
    counts, support = count_cooccurrences(log_of((0, 0, A, 0), (0, 1, B, 1), event="dismiss"), ALL, SETTINGS)
    assert counts.nnz == 0
    assert not support.any()


def test_popularity_is_discounted_by_the_powers():
    counts, _ = count_cooccurrences(log_of((0, 0, A, 0), (0, 1, B, 1)), ALL, SETTINGS)
    settings = replace(SETTINGS, evidence_power=1.0, candidate_power=0.5, trend_power=0.0)
    similar = normalise(counts, np.array([4.0, 25.0, 0.0]), np.ones(3), settings).toarray()
    # A -> B: 1 / (4 x 5) = .05; B -> A: .3 / (25 x 2) = .006; then divided by the mean of the rows' best, .028.
    assert similar[A, B] == pytest.approx(0.05 / 0.028)
    assert similar[B, A] == pytest.approx(0.006 / 0.028)


def test_what_sells_lately_has_a_trend_above_one():
    rows = [(0, n, A, -100.0 - n) for n in range(50)] + [(0, 50 + n, B, -1.0 - n / 50) for n in range(50)]
    found = trend(log_of(*rows), 0.0, BlendSettings(trend_half_life=14.0))
    assert found[B] > 1.5 > 0.5 > found[A] > 0


def test_no_actions_give_no_neighbours():
    nobody = log_of((0, 0, A, 0)).before(-1)
    counts, support = count_cooccurrences(nobody, ALL, SETTINGS)
    assert counts.shape == (3, 3)
    assert counts.nnz == 0
    assert normalise(counts, support, trend(nobody, 0.0, SETTINGS), SETTINGS).nnz == 0


def _by_the_formula(log: ActionLog, is_candidate: np.ndarray, settings: BlendSettings) -> np.ndarray:
    """Return S' K S with both matrices whole, each row cut to its strongest neighbours."""
    steps, user = steps_by_items(log, settings)
    kernel = np.zeros((len(user), len(user)))
    for one in range(len(user)):
        for other in range(len(user)):
            gap = other - one
            if user[one] == user[other] and abs(gap) <= settings.max_step_gap:
                fades = settings.step_decay ** (abs(gap) - 1) if gap else settings.same_step
                kernel[one, other] = fades * (settings.backward if gap < 0 else 1.0)
    dense = steps.toarray()
    counts = dense.T @ kernel @ (dense * is_candidate)
    np.fill_diagonal(counts, 0.0)
    order_by = counts * (dense.sum(axis=0) + 1.0) ** -0.5
    limit = -np.sort(-order_by, axis=1)[:, [min(settings.neighbours, counts.shape[1]) - 1]]
    return np.where(order_by >= limit, counts, 0.0)


@pytest.mark.parametrize("neighbours", [3, 100])
def test_counts_made_in_blocks_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch, neighbours: int):
    rng = np.random.default_rng(neighbours)
    step_user = np.sort(rng.integers(0, 12, 90))
    step = np.sort(rng.integers(0, 90, 250))
    log = ActionLog(
        step_user[step], rng.integers(0, 23, 250), rng.choice([EVENT_CODES["purchase"], EVENT_CODES["view"]], 250),
        step.astype(float), step, np.ones(250), 12, 23,
    )  # fmt: skip
    settings = replace(SETTINGS, max_step_gap=4, step_size_power=0.5, neighbours=neighbours)
    is_candidate = rng.random(23) < 0.8
    expected = _by_the_formula(log, is_candidate, settings)
    for rows, actions in ((256, 200_000), (5, 30), (1, 1)):
        monkeypatch.setattr(item_to_item, "BLOCK_CELLS", 1)
        monkeypatch.setattr(item_to_item, "BLOCK_ROWS", rows)
        monkeypatch.setattr(item_to_item, "BLOCK_ACTIONS", actions)
        counts, _ = count_cooccurrences(log, is_candidate, settings)
        np.testing.assert_allclose(counts.toarray(), expected, rtol=1e-12, atol=1e-14)
