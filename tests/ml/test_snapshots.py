"""Which weeks a recommender is fitted on, and that nothing of them is known to the encoder that it reads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.recommender.dataset import EVENT_CODES, ActionLog, connect, day_number, load_shop
from ml.recommender.snapshots import snapshot_moments, weekly_snapshots
from ml.recommender.train_recommender import snapshots_to_fit
from ml.text_encoder import store
from ml.text_encoder.fine_tuning.registry import encoders
from ml.text_encoder.fine_tuning.settings import FineTuning
from ml.text_encoder.fine_tuning.train_encoder import gather
from qianmian.step import StepError

from .conftest import AS_OF, action, item, lively_shop

DAY = AS_OF.isoformat()
END = day_number(AS_OF) + 1.0
#: How many days ago an encoder learned its last, where the log is long: the first of 8 weeks begins 63 days before
#: the end, the week before it decides when training stops.
LAST_LEARNED = 70


def buyers(days: range, closed: range = range(0)) -> ActionLog:
    """Three users who buy on each of the days, but for those on which the shop is closed."""
    open_days = [day for day in days if day not in closed]
    user = np.repeat(np.arange(3), len(open_days))
    codes = np.full(len(user), EVENT_CODES["purchase"], dtype=np.int8)
    time = np.tile(np.array(open_days, dtype=float), 3)
    return ActionLog(user, user % 2, codes, time, np.arange(len(user)), np.ones(len(user)), 3, 2)


def test_a_week_without_a_buyer_is_no_snapshot() -> None:
    log = buyers(range(140), closed=range(112, 119))
    assert snapshot_moments(log, 140.0) == [84, 91, 98, 105, 112, 119, 126, 133]
    assert [snapshot.as_of for snapshot in weekly_snapshots(log, 140.0)] == [84, 91, 98, 105, 119, 126, 133]
    assert weekly_snapshots(buyers(range(30), closed=range(9, 30)), 30.0) == []
    assert weekly_snapshots(log.before(0.0), 140.0) == []


def test_a_shop_of_five_weeks_has_fewer_and_its_encoder_learns_from_before_them(
    lake_of: Callable[..., Path],
) -> None:
    lake = lake_of(**lively_shop(days=35))
    with connect(lake) as connection:
        shop = load_shop(connection, DAY)
    fit = snapshots_to_fit(lake, shop, "test-1", END - 7)
    assert [END - snapshot.as_of for snapshot in fit] == [21, 14]
    assert END - gather(lake, DAY, FineTuning()).learned_before == 28


@pytest.fixture
def old_shop() -> dict[str, Any]:
    """Bought long before: 20 weeks of actions, so that all 8 weeks are there."""
    return lively_shop(users=80, days=140)


@pytest.mark.parametrize("days_ago", [LAST_LEARNED, LAST_LEARNED - 1, 60, 14, 13, 7, 0])
def test_a_pair_after_the_bound_never_enters(
    lake_of: Callable[..., Path], old_shop: dict[str, Any], days_ago: int
) -> None:
    late = ["late-a", "late-b"]
    old_shop["item_features"] += [item(item_id, item_text=f"the text of {item_id}") for item_id in late]
    for number in range(20):
        user_id = f"u{number:03d}"
        old_shop["user_actions"] += [action(user_id, item_id, days_ago=days_ago) for item_id in late]
        query = {"query": "something late", "user_id": user_id, "chosen_item_id": "late-a", "choice": "purchase"}
        at = action(user_id, "late-a", days_ago=days_ago)
        old_shop.setdefault("user_searches", []).append(
            {**query, **{k: at[k] for k in ("event_at", "event_date")}}
        )
    old_shop["user_actions"].sort(key=lambda row: (row["user_id"], row["event_at"]))
    lake = lake_of(**old_shop)
    pairs = gather(lake, DAY, FineTuning()).pairs
    places = pairs.number_of([f"the text of {item_id}" for item_id in late])
    # Noon of a day 70 days ago is in the 71st day before the end: the last one that is learned from.
    is_known = days_ago == LAST_LEARNED
    assert bool(pairs.weight[places[0], places[1]] > 0) is is_known
    assert ("something late" in pairs.texts) is is_known
    assert bool(pairs.count[places].any()) is is_known


def give_encoder(lake: Path, trained_to: str) -> str:
    """Have the lake's vectors made by a fine-tuned encoder."""
    version = encoders(lake).save(DAY, lambda folder: (folder / "w").touch(), trained_to=trained_to)
    store.write_source(lake, "test-1", version.name)
    return version.name


def test_weeks_that_the_encoder_has_seen_days_of_are_left_out(
    lake_of: Callable[..., Path], old_shop: dict[str, Any]
) -> None:
    lake = lake_of(**old_shop)
    with connect(lake) as connection:
        shop = load_shop(connection, DAY)

    def weeks() -> list[float]:
        return [END - snapshot.as_of for snapshot in snapshots_to_fit(lake, shop, "test-1", END - 7)]

    whole = [63, 56, 49, 42, 35, 28, 21, 14]
    assert weeks() == whole
    # What gather() leaves of this very day keeps them all.
    learned_to = AS_OF - timedelta(days=END - gather(lake, DAY, FineTuning()).learned_before)
    give_encoder(lake, learned_to.isoformat())
    assert weeks() == whole
    give_encoder(lake, (learned_to + timedelta(days=1)).isoformat())
    assert weeks() == whole[1:]
    # Trained to 14 days ago and stopped by the week after, it knows them all.
    give_encoder(lake, "2026-10-17")
    with pytest.raises(StepError, match=r"every week that a recommender could be fitted on begins earlier"):
        weeks()
