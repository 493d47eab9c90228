"""The already-bought rule on purchases that can be counted on fingers."""

from __future__ import annotations

import numpy as np
import pytest

from ml.recommender.buy_again import repeat_rate, repeat_share
from ml.recommender.settings import BlendSettings
from tests.ml.test_item_to_item import A, B, log_of


def test_a_repeat_is_a_purchase_on_a_later_day():
    log = log_of((0, 0, A, 10.1), (0, 1, A, 10.9), (0, 2, A, 12.0), (0, 3, B, 12.0))
    assert repeat_share(log, as_of=20.0, window=90.0) == pytest.approx(1 / 4)


def test_the_window_bounds_the_lines_but_not_their_past():
    log = log_of((0, 0, A, 1.0), (0, 1, A, 95.0), (0, 2, B, 96.0))
    assert repeat_share(log, as_of=100.0, window=10.0) == pytest.approx(1 / 2)


def test_no_purchases_no_repeats():
    assert repeat_share(log_of((0, 0, A, 1.0), event="view"), as_of=2.0, window=90.0) == 0.0


def test_repeat_rates_lean_on_the_shop_where_buyers_are_few():
    # Two buyers of A, one comes back; one buyer of B who does not. The shop's average is 1/3.
    log = log_of((0, 0, A, 1.0), (0, 1, A, 2.0), (1, 2, A, 1.0), (1, 3, B, 1.0))
    rates = repeat_rate(log, BlendSettings(repeat_prior_buyers=3.0))
    assert rates == pytest.approx(np.array([(1 + 1) / (2 + 3), (0 + 1) / (1 + 3), 1 / 3]))
