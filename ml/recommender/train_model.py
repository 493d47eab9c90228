"""Train the learned recommender from past moments of a shop and what its users chose next.

    snapshots' logs --> sequence model A --> sources --> candidates --> ranker (fitted on what was chosen)
    the whole log   --> sequence model B, which takes A's place

No source may have seen what the ranker is fitted on, or it would learn to trust them too much: A is trained on
what lies before the first snapshot's moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from ml.recommender.blend import Blend, learn
from ml.recommender.candidates import NEWNESS, Candidates, find_candidates
from ml.recommender.dataset import ActionLog
from ml.recommender.learned import LearnedModel
from ml.recommender.new_items import choose_lift
from ml.recommender.popular import measured_popularity
from ml.recommender.ranker import Ranker, cross_fitted_scores, fit_ranker, hits_of, mean_ndcg, ordered
from ml.recommender.sequence_model import SequenceModel, SequenceSettings
from ml.recommender.sequences import sequences_of
from ml.recommender.settings import SEARCH_GRID, BlendSettings
from ml.recommender.snapshots import Snapshot
from ml.recommender.sources import Sources, choose_weight
from ml.recommender.train_sequence_model import train
from ml.recommender.tune import MIN_USERS, Targets, choose_settings

log = logging.getLogger(__name__)

MIN_SEQUENCE_ACTIONS = 2_000  # fewer, and a sequence model learns nothing that counts do not say
Report = Callable[[str, float, int], None]
Grid = tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Items:
    """The catalogue: ids sorted, text vectors of length 1, their neighbours, and which may be recommended.

    `created` is when each item came, a time in days; None: all have always been there.
    """

    ids: np.ndarray
    text: np.ndarray
    text_similar: sparse.csr_matrix
    is_candidate: np.ndarray
    created: np.ndarray | None = None

    def candidates_at(self, as_of: float) -> np.ndarray:
        """Return which items could have been recommended at a past moment."""
        return self.is_candidate if self.created is None else self.is_candidate & (self.created < as_of)


@dataclass(frozen=True)
class Training:
    """How to train: where to start with the blend's dials, which to try, and the sequence model's settings."""

    blend: BlendSettings
    sequence: SequenceSettings = field(default_factory=SequenceSettings)
    grid: Grid = SEARCH_GRID
    k: int = 20
    tuning_cells: int = 40_000_000
    seed: int = 0
    device: str = "cpu"
    checkpoints: Path | None = None

    def checkpoint(self, name: str) -> Path | None:
        """Where to keep the state of one of the trainings."""
        return None if self.checkpoints is None else self.checkpoints / f"{name}.pt"


@dataclass(frozen=True)
class Trained:
    """The model, and lists made for the snapshots by trees that had not seen their users (for honest figures)."""

    model: LearnedModel
    lists: dict[str, np.ndarray]
    ndcg: dict[str, float]


def sources_at(
    snapshot_log: ActionLog, as_of: float, items: Items, settings: BlendSettings, model: SequenceModel | None
) -> Sources:
    """Learn the blend as of a moment and put the sequence model beside it."""
    before = snapshot_log.before(as_of)
    popularity = measured_popularity(before, as_of, settings)
    knowledge = learn(before, items.text_similar, popularity, items.candidates_at(as_of), as_of, settings)
    nobody = np.zeros(snapshot_log.n_users, dtype=np.int64)
    return Sources(Blend(knowledge, settings), before, nobody, items.text, model)


def train_sequences(
    actions: ActionLog, items: Items, training: Training, name: str, report: Report | None
) -> SequenceModel | None:
    """Train a sequence model on `actions`, or none where there are too few of them."""
    sequences = sequences_of(actions)
    if len(sequences.item) < MIN_SEQUENCE_ACTIONS:
        log.info("%d actions, fewer than %d: no sequence model", len(sequences.item), MIN_SEQUENCE_ACTIONS)
        return None

    def after_epoch(epoch: int, _: SequenceModel, loss: float) -> None:
        if report is not None:
            report(f"{name}_loss", loss, epoch)

    log.info("%s sequence model on %d actions of %d users", name, len(sequences.item), actions.n_users)
    return train(
        sequences, items.text, training.sequence, training.seed, device=training.device,
        checkpoint=training.checkpoint(name), after_epoch=after_epoch,
    )  # fmt: skip


def train_model(
    snapshots: list[Snapshot],
    final: ActionLog,
    items: Items,
    training: Training,
    report: Report | None = None,
) -> Trained:
    """Train on snapshots, oldest first, then on all of `final`.

    The dials and the sequence model's weight are chosen on the last snapshot, the trees fitted on all; they are
    kept only if trees that were fitted on other users order the lists better than the mixture does.

    Args:
        snapshots: past moments and what was chosen after each; at least one.
        final: all actions that the model may know, the snapshots' targets included.
        items: the catalogue.
        training: how.
        report: called with a figure's name, its value and its epoch.

    """
    last, n_items = snapshots[-1], final.n_items
    first = train_sequences(snapshots[0].log.before(snapshots[0].as_of), items, training, "first", report)
    sources = sources_at(last.log, last.as_of, items, training.blend, first)
    settings, _ = choose_settings(
        sources.blend.items, sources.log, last.targets, training.blend, training.grid, training.k,
        training.tuning_cells,
    )  # fmt: skip
    weight = 0.0
    ndcg_by_weight: dict[float, float] = {}
    if first is not None and len(last.targets.users) >= MIN_USERS:
        sources = sources_at(last.log, last.as_of, items, settings, first)
        weight, ndcg_by_weight = choose_weight(sources, last.targets, training.k)
    log.info("sequence model's weight %.1f of NDCG@%d %s", weight, training.k,
             {w: round(value, 4) for w, value in ndcg_by_weight.items()})  # fmt: skip
    found = []
    for snapshot in snapshots:
        sources = sources_at(snapshot.log, snapshot.as_of, items, settings, first)
        found.append(find_candidates(sources, snapshot.targets.users, weight))
        log.info("%d candidates' users described as of day %.0f", len(found[-1].items), snapshot.as_of)
    by_chance = float(sources.newness[sources.blend.items.is_candidate].mean())
    ranker, lift, lists = choose_ranker(
        found, [snapshot.targets for snapshot in snapshots], n_items, training, by_chance
    )
    figures = {name: mean_ndcg(of, last.targets, n_items, training.k) for name, of in lists.items()}
    log.info("NDCG@%d on the last snapshot: %s", training.k, {name: round(v, 4) for name, v in figures.items()})
    model = train_sequences(final, items, training, "final", report) if first is not None else None
    return Trained(LearnedModel(settings, items.ids, model, weight, ranker, lift), lists, figures)


def choose_ranker(
    found: list[Candidates], targets: list[Targets], n_items: int, training: Training, by_chance: float
) -> tuple[Ranker | None, float, dict[str, np.ndarray]]:
    """Return the trees where cross-fitted ones beat the mixture, new items' lift, and lists for the last snapshot.

    Lists are the mixture's, those of the trees (where there are any), and the better of both lifted: `learned`.
    `by_chance` is the mean newness of the items that may be recommended.
    """
    hits = np.concatenate([hits_of(c, t, n_items) for c, t in zip(found, targets, strict=True)])
    user = np.concatenate([t.users for t in targets])
    everything = Candidates.joined(found)
    last, of_last, k = found[-1], targets[-1], training.k
    crossed = cross_fitted_scores(everything, hits, user, training.seed)
    lists = {"mixture": last.items[:, :k]}
    scores = last.scores
    ranker = None
    if crossed is not None:
        crossed = crossed[len(crossed) - len(last.items) :]
        lists["ranker"] = ordered(last, crossed, k)[0]
        with_it, without = (mean_ndcg(lists[name], of_last, n_items, k) for name in ("ranker", "mixture"))
        if with_it > without:
            ranker, scores = fit_ranker(everything, hits, training.seed), crossed
    new = last.features[:, :, NEWNESS]
    lift = choose_lift(last.items, scores, new, by_chance, of_last, n_items, k)
    lists["learned"] = ordered(last, scores + lift * new, k)[0]
    return ranker, lift, lists


def epochs_within(settings: SequenceSettings, seconds_an_epoch: float, seconds: float) -> SequenceSettings:
    """Return the settings with as many epochs, at most their own and at least one, as fit into `seconds`."""
    fit = max(1, int(seconds / max(seconds_an_epoch, 1e-9)))
    return replace(settings, epochs=min(settings.epochs, fit))
