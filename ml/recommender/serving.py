"""What makes the lists of a day: the champion where one was promoted, else the blend; the same rules for both."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from expectations.tables import EVALUATION_DAYS
from ml.explain import parts
from ml.explain.parts import Parts
from ml.recommender import leave_one_out
from ml.recommender.backtest import calibrate, run_backtest
from ml.recommender.blend import Blend, Evidence, learn
from ml.recommender.calibration import Calibration
from ml.recommender.champion import Version, champion, load_model
from ml.recommender.dataset import ActionLog, Shop
from ml.recommender.learned import LearnedModel, Listed
from ml.recommender.new_items import IS_NEW
from ml.recommender.popular import Popularity, measured_popularity, published_popularity
from ml.recommender.recommend import Pool, Shard, explain, recommend
from ml.recommender.settings import BlendSettings
from ml.recommender.sources import Sources
from ml.recommender.text_neighbours import text_similarities
from ml.recommender.train_model import Items
from ml.recommender.tune import purchases_between

log = logging.getLogger(__name__)

BLEND, LEARNED = "blend-1", "learned"


class Serving(Protocol):
    """A recommender as of one moment."""

    @property
    def blend(self) -> Blend:
        """Knowledge of items, and the rules on what may be shown."""

    def shards(self, users: np.ndarray, pool: Pool | None = None) -> Iterator[Shard]:
        """Yield the pools of `users` (sorted positions), by default their lists, shard by shard."""

    def explain(self, shard: Shard) -> Evidence:
        """Say where a shard's scores come from."""

    def parts(self, shard: Shard, evidence: Evidence) -> Parts:
        """Say what a shard's scores are the sum of; `evidence` is what `explain` said of them."""

    def is_lifted(self, shard: Shard) -> np.ndarray:
        """Say which listed items the rule for new items moved up: users x length."""

    def lift_falls(self, shard: Shard) -> np.ndarray:
        """Return what the scores would lose without that rule: users x length."""


@dataclass(frozen=True)
class BlendServing:
    """The blend alone."""

    blend: Blend
    log: ActionLog
    segment: np.ndarray

    def shards(self, users: np.ndarray, pool: Pool | None = None) -> Iterator[Shard]:
        """Yield the pools of `users`."""
        yield from recommend(self.blend, self.log, self.segment, users, pool)

    def explain(self, shard: Shard) -> Evidence:
        """Take the scores apart: they are sums."""
        return explain(self.blend, shard, self.segment)

    def parts(self, shard: Shard, evidence: Evidence) -> Parts:
        """Sum by source."""
        return parts.blend_parts(evidence)

    def is_lifted(self, shard: Shard) -> np.ndarray:
        """Say that none is."""
        return np.zeros(shard.items.shape, dtype=bool)

    def lift_falls(self, shard: Shard) -> np.ndarray:
        """Say that nothing is lost."""
        return np.zeros(shard.items.shape)


@dataclass(frozen=True)
class LearnedServing:
    """A trained recommender over the sources of a moment."""

    model: LearnedModel
    sources: Sources

    @property
    def blend(self) -> Blend:
        """The blend among the sources."""
        return self.sources.blend

    def shards(self, users: np.ndarray, pool: Pool | None = None) -> Iterator[Shard]:
        """Yield the pools of `users`."""
        for scores in self.sources.scores(users):
            yield self.model.listed(self.sources, scores, pool or Pool())

    def explain(self, shard: Shard) -> Evidence:
        """Leave items of the history out, one at a time."""
        assert isinstance(shard, Listed)
        return leave_one_out.explain(self.model, self.sources, shard)

    def parts(self, shard: Shard, evidence: Evidence) -> Parts:
        """Sum the mixture's terms and the trees' contributions."""
        assert isinstance(shard, Listed)
        return parts.learned_parts(self.model, shard)

    def lift_falls(self, shard: Shard) -> np.ndarray:
        """Take the lift off."""
        assert isinstance(shard, Listed)
        return parts.lift_falls(self.model, shard)

    def is_lifted(self, shard: Shard) -> np.ndarray:
        """Say which are new enough for the lift to matter."""
        new = self.sources.newness[np.maximum(shard.items, 0)] >= IS_NEW
        return np.asarray(new & (self.model.new_item_lift > 0))


def learned_at(
    model: LearnedModel, shop: Shop, items: Items, as_of: float, popularity: Popularity, segment: np.ndarray
) -> LearnedServing:
    """Put a trained recommender to work as of a moment; `segment` is each user's row in `popularity`."""
    knowledge = learn(shop.log, items.text_similar, popularity, items.candidates_at(as_of), as_of, model.settings)
    sequence = model.sequence_on(items.ids, items.text)
    return LearnedServing(
        model, Sources(Blend(knowledge, model.settings), shop.log, segment, items.text, sequence)
    )


@dataclass(frozen=True)
class Chosen:
    """The recommender of a day: its name in model_metrics, its version, and why it is not the champion (or "")."""

    name: str
    version: str
    note: str
    champion: Version | None


def choose(lake: Path, as_of: str, text_version: str) -> Chosen:
    """Return what serves on a day: the last promoted recommender, if it reads the vectors that the day has.

    Raises:
        StepError: the champion's files are not whole.

    """
    best = champion(lake, as_of)
    if best is None:
        return Chosen(BLEND, f"{BLEND}+{text_version}", "no recommender is promoted yet", None)
    if best.text_version != text_version:
        note = (
            f"the champion {best.name} reads vectors of the text model {best.text_version}, but this day's are of "
            f"{text_version}: the blend serves until a recommender is trained on them (make train)"
        )
        log.warning("%s", note)
        return Chosen(BLEND, f"{BLEND}+{text_version}", note, None)
    return Chosen(LEARNED, f"{best.name}+{text_version}", "", best)


@dataclass(frozen=True)
class Day:
    """The recommender at work for a day, its calibration on the week before, and what to report of both."""

    serving: Serving
    calibration: Calibration
    report: dict[str, Any]


def serve_day(chosen: Chosen, shop: Shop, items: Items) -> Day:
    """Set the chosen recommender up for the end of the shop's day."""
    end, segment, popularity = shop.end_of_day, shop.users.segment, published_popularity(shop)
    if chosen.champion is None:
        backtest = run_backtest(shop, items.text_similar, end, BlendSettings())
        knowledge = learn(shop.log, items.text_similar, popularity, items.is_candidate, end, backtest.settings)
        report = {"settings_chosen_by": backtest.chosen_by or "defaults: too few purchases in the last 7 days"}
        serving: Serving = BlendServing(Blend(knowledge, backtest.settings), shop.log, segment)
        return Day(serving, backtest.calibrate(), report)
    model = load_model(chosen.champion)
    serving = learned_at(model, shop, items, end, popularity, segment)
    begin = end - EVALUATION_DAYS
    week_before = learned_before(model, shop, items, begin)
    targets = purchases_between(shop.log, begin, end)
    calibration = calibrate(week_before.shards, week_before.sources.log, begin, targets)
    return Day(serving, calibration, {"settings_chosen_by": chosen.champion.name, "sequence_weight": model.weight})


def learned_before(model: LearnedModel, shop: Shop, items: Items, as_of: float) -> LearnedServing:
    """Put a trained recommender to work as of a past moment, from the actions before it alone."""
    popularity = measured_popularity(shop.log.before(as_of), as_of, model.settings)
    return learned_at(model, shop, items, as_of, popularity, np.zeros(shop.log.n_users, dtype=np.int64))


def items_of(shop: Shop, vectors: np.ndarray) -> Items:
    """Return a shop's catalogue with its text vectors and their neighbours."""
    active = shop.catalogue.is_active
    first_acted = np.full(len(active), np.inf)
    np.minimum.at(first_acted, shop.log.item, np.floor(shop.log.time))
    # An item that somebody acted on was there, whatever the catalogue says; and today all of them are.
    created = np.minimum(np.minimum(shop.catalogue.created, first_acted), shop.end_of_day - 1.0)
    similar = text_similarities(vectors, active, BlendSettings())
    return Items(shop.catalogue.item_ids, vectors, similar, active, created)
