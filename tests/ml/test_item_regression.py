"""Regressions of items by items on shops where one item always follows another."""

from __future__ import annotations

import logging
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ml.recommender import item_regression
from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.item_regression import learn_regressions
from ml.recommender.settings import BlendSettings

FIRST, NEXT, WITH, OTHER, STAPLE = range(5)
N_USERS, AS_OF = 60, 30.0
ALL = np.ones(5, dtype=bool)


def shop() -> ActionLog:
    """Even users buy FIRST with WITH, a week later NEXT; odd ones OTHER; all buy STAPLE each time."""
    rows = []
    for buyer in range(N_USERS):
        own = [(1.0, FIRST), (1.0, WITH), (8.0, NEXT)] if buyer % 2 == 0 else [(1.0, OTHER), (8.0, OTHER)]
        rows += [(buyer, day, bought) for day, bought in sorted([*own, (1.0, STAPLE), (8.0, STAPLE)])]
    user, time, item = (np.array(column) for column in zip(*rows, strict=True))
    step = np.unique(user * 100 + time, return_inverse=True)[1]
    codes = np.full(len(rows), EVENT_CODES["purchase"], dtype=np.int8)
    return ActionLog(user, item, codes, time, step, np.ones(len(rows)), N_USERS, 5)


def someone_with(item: int) -> ActionLog:
    """Return a log of one user who bought `item` once, and of one who did nothing."""
    one = np.zeros(1, dtype=np.int64)
    purchase = np.full(1, EVENT_CODES["purchase"], dtype=np.int8)
    return ActionLog(one, one + item, purchase, np.full(1, 20.0), one, np.ones(1), 2, 5)


def test_the_next_basket_follows_and_holds_what_is_bought_again() -> None:
    following, _ = learn_regressions(shop(), ALL, AS_OF, BlendSettings()).scores(someone_with(FIRST))
    assert following.shape == (2, 5)
    assert following[0, NEXT] > 3 * max(following[0, WITH], following[0, OTHER], following[0, FIRST], 0.01)
    after_staple, _ = learn_regressions(shop(), ALL, AS_OF, BlendSettings()).scores(someone_with(STAPLE))
    assert after_staple[0].argmax() == STAPLE
    assert not following[1].any()


def test_together_is_symmetric_in_time_and_never_itself() -> None:
    _, together = learn_regressions(shop(), ALL, AS_OF, BlendSettings()).scores(someone_with(NEXT))
    assert together[0, FIRST] == pytest.approx(together[0, WITH], rel=1e-3)
    assert together[0, FIRST] > together[0, OTHER]
    assert together[0, NEXT] == 0


def test_together_is_the_closed_form() -> None:
    log = shop()
    learned = learn_regressions(log, ALL, AS_OF, BlendSettings())
    counts = np.zeros((N_USERS, 5))
    np.add.at(counts, (log.user, log.item), 1.0)
    past = np.sqrt(counts) / np.sqrt(counts.sum(axis=1, keepdims=True))
    inverse = np.linalg.inv(past.T @ past + item_regression.TOGETHER_PENALTY * np.eye(5))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    assert learned.together == pytest.approx(expected, abs=1e-4)


def walks(n_users: int, n_items: int, n_days: int, seed: int = 0) -> ActionLog:
    """Users who buy or look at something on most of the days."""
    rng = np.random.default_rng(seed)
    count = n_users * n_days
    user = np.repeat(np.arange(n_users), n_days)
    codes = np.where(rng.random(count) < 0.6, EVENT_CODES["purchase"], EVENT_CODES["view"]).astype(np.int8)
    time = np.tile(np.arange(n_days, dtype=float), n_users)
    kept = rng.random(count) < 0.8
    item = rng.integers(0, n_items, count)
    step = np.arange(count)
    return ActionLog(
        user[kept], item[kept], codes[kept], time[kept], step[kept], np.ones(kept.sum()), n_users, n_items
    )


def test_read_in_blocks_of_users_it_is_the_closed_form_of_all_days(monkeypatch: pytest.MonkeyPatch) -> None:
    log, settings, as_of = walks(40, 7, 60), BlendSettings(), 60.0
    monkeypatch.setattr(item_regression, "BLOCK_DAYS", 100)
    monkeypatch.setattr(item_regression, "BLOCK_ITEMS", 3)
    learned = learn_regressions(log, np.ones(7, dtype=bool), as_of, settings)

    strength = np.array([settings.strengths["view"], settings.strengths["purchase"]])
    is_bought = log.event == EVENT_CODES["purchase"]
    gram, follows, together = np.zeros((7, 7)), np.zeros((7, 7)), np.zeros((7, 7))
    for user in range(40):
        mine = log.user == user
        n_days = int(mine.sum())  # one action a day
        did, bought = np.zeros((n_days, 7)), np.zeros((n_days, 7))
        did[np.arange(n_days), log.item[mine]] = strength[is_bought[mine].astype(int)]
        bought[np.arange(n_days), log.item[mine]] = is_bought[mine]
        for number, day in enumerate(log.time[mine]):
            past = np.sqrt(did[max(0, number - item_regression.N_DAYS) : number].sum(axis=0))
            past /= max(np.linalg.norm(past), 1e-12)
            weight = 0.5 ** ((as_of - day) / item_regression.HALF_LIFE)
            gram += weight * np.outer(past, past)
            follows += weight * np.outer(past, bought[number])
        late = np.sqrt(did[-item_regression.N_DAYS :].sum(axis=0))
        together += np.outer(late, late) / (late @ late)
    expected = np.linalg.solve(gram + item_regression.PENALTY * np.eye(7), follows)
    assert learned.next_basket == pytest.approx(expected, abs=1e-6)
    inverse = np.linalg.inv(together + item_regression.TOGETHER_PENALTY * np.eye(7))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    assert learned.together == pytest.approx(expected, abs=1e-6)


def test_memory_follows_the_block_not_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read whole, what came before each of these 190,000 days takes 100 MB."""
    log = walks(1_000, 3, 240)
    monkeypatch.setattr(item_regression, "BLOCK_DAYS", 5_000, raising=False)
    days = item_regression._days_of(log, BlendSettings())
    tracemalloc.start()
    item_regression._next_basket(days, np.arange(3), 240.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15e6


def test_sums_of_popular_items_are_exact_to_far_below_the_penalty() -> None:
    """300,000 users have the same three items: in float32 the sums, 100,000, are off by more than 10."""
    n_users, held = 300_000, 3
    user = np.repeat(np.arange(n_users), held)
    item = np.tile(np.arange(held), n_users)
    codes = np.full(len(user), EVENT_CODES["purchase"], dtype=np.int8)
    log = ActionLog(user, item, codes, np.full(len(user), 1.0), user, np.ones(len(user)), n_users, held)
    learned = learn_regressions(log, np.ones(held, dtype=bool), AS_OF, BlendSettings())
    # Each pair of items has the sum s, so W = -P / diag(P) = s / (1 + 2 s) off the diagonal.
    shared = n_users / held
    expected = shared / (item_regression.TOGETHER_PENALTY + (held - 1) * shared)
    apart = ~np.eye(held, dtype=bool)
    assert learned.together[apart] == pytest.approx(expected, rel=1e-6)


def test_items_that_cannot_be_told_apart_raise_the_penalty_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    wrong = np.array([[1000.0, 1003.0], [1003.0, 1000.0]])  # as sums are that were rounded: no such users exist
    with caplog.at_level(logging.WARNING):
        factor = item_regression._factor(wrong.copy(), 1.0)
    assert np.tril(factor) @ np.tril(factor).T == pytest.approx(wrong + 10.0 * np.eye(2))
    assert caplog.messages == ["items too much alike to be told apart at penalty 1: it is raised tenfold"]
    with pytest.raises(np.linalg.LinAlgError, match="no Cholesky factor"):
        item_regression._factor(np.full((2, 2), np.nan), 1.0)


def test_later_actions_are_not_read() -> None:
    log = shop()
    early = learn_regressions(log, ALL, 5.0, BlendSettings())
    assert early.kept.tolist() == [FIRST, WITH, OTHER, STAPLE]
    assert not early.next_basket.any()
    alone = learn_regressions(log.before(5.0), ALL, 5.0, BlendSettings())
    assert np.array_equal(early.together, alone.together)


def test_what_may_not_be_shown_is_evidence_only() -> None:
    hidden = ALL.copy()
    hidden[FIRST] = False
    learned = learn_regressions(shop(), hidden, AS_OF, BlendSettings())
    assert not learned.next_basket[:, FIRST].any()
    assert not learned.together[:, FIRST].any()
    assert learned.scores(someone_with(FIRST))[0][0].argmax() == NEXT


def test_rare_items_are_left_out_and_an_empty_shop_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_regression, "MAX_ITEMS", 2)
    learned = learn_regressions(shop(), ALL, AS_OF, BlendSettings())
    assert learned.kept.tolist() == [FIRST, STAPLE]
    assert not learned.scores(someone_with(NEXT))[0].any()
    nothing = shop().before(0.0)
    empty = learn_regressions(nothing, ALL, AS_OF, BlendSettings())
    assert not np.concatenate(empty.scores(replace(nothing, n_users=3))).any()
