"""Regressions of items by items on shops where one item always follows another."""

from __future__ import annotations

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
