"""Users' actions as sequences, windows and batches."""

from __future__ import annotations

import numpy as np

from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.sequences import Sequences, batches, cut_windows, gap_bucket, last_windows, sequences_of

VIEW, PURCHASE, DISMISS = EVENT_CODES["view"], EVENT_CODES["purchase"], EVENT_CODES["dismiss"]


def test_gaps_double_from_an_hour_on() -> None:
    hours = np.array([-1, 0, 0.5, 1, 1.5, 2, 3, 24, 24 * 200, 1e9])
    np.testing.assert_array_equal(gap_bucket(hours / 24), [0, 0, 1, 1, 2, 2, 3, 6, 13, 13])


def test_first_actions_have_no_gap_and_dismissals_are_left_out() -> None:
    event = np.array([VIEW, DISMISS, PURCHASE, VIEW], dtype=np.int8)
    log = ActionLog(
        np.array([0, 0, 0, 2]), np.array([5, 6, 7, 8]), event, np.array([1.0, 1.5, 3.0, 2.0]), np.arange(4),
        np.ones(4), 3, 9,
    )  # fmt: skip
    found = sequences_of(log)
    np.testing.assert_array_equal(found.item, [5, 7, 8])
    np.testing.assert_array_equal(found.starts, [0, 2, 2, 3])
    np.testing.assert_array_equal(found.gap, gap_bucket(np.array([0.0, 2.0, 0.0])))


def test_only_actions_of_one_moment_change_places() -> None:
    time = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 3.0])  # the first two belong to another user
    given = Sequences(np.arange(6), np.arange(6), time, np.array([0, 2, 6]))
    seen = set()
    for seed in range(40):
        found = given.shuffled_moments(np.random.default_rng(seed)).item
        assert set(found[:2]) == {0, 1}
        np.testing.assert_array_equal(found[[2, 5]], [2, 5])
        seen.add(tuple(found))
    assert len(seen) == 4  # two orders of the first user's moment times two of the second's


def test_every_action_after_the_first_is_a_target_once() -> None:
    windows = cut_windows(np.array([0, 1, 4, 30]), length=8)
    targets = np.concatenate([np.arange(f, e) for f, e in zip(windows.fresh, windows.end, strict=True)])
    np.testing.assert_array_equal(np.sort(targets), [2, 3, *range(5, 30)])
    assert (windows.end - windows.begin - 1).max() <= 8


def test_batches_hold_every_window_once_and_few_places() -> None:
    lengths = np.random.default_rng(0).integers(2, 12, 200)
    windows = cut_windows(np.concatenate(([0], np.cumsum(lengths))), length=8)
    found = list(batches(windows, 64, np.random.default_rng(1)))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(len(windows.begin)))
    size = windows.end - windows.begin - 1
    assert max(size[batch].sum() for batch in found) <= 64 + 8
    assert list(batches(cut_windows(np.array([0, 1]), 8), 64, np.random.default_rng(1))) == []


def test_last_windows_are_right_aligned() -> None:
    starts = np.array([0, 3, 4, 4])
    np.testing.assert_array_equal(last_windows(starts, np.array([0, 1]), 2), [[1, 2], [-1, 3]])
    np.testing.assert_array_equal(last_windows(starts, np.array([2]), 2), [[-1]])
