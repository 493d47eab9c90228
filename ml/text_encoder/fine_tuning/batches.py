"""Which texts a step is about, what each of them is held against, and what must not count as a negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from ml.text_encoder.fine_tuning.loss import Positives
from ml.text_encoder.fine_tuning.pairs import Pairs
from ml.text_encoder.fine_tuning.settings import FineTuning


@dataclass(frozen=True)
class Batch:
    """Texts of one step (`fresh`, all of them anchors) and the item texts remembered from earlier steps.

    The candidates are `fresh`, then `remembered`.
    """

    fresh: np.ndarray
    remembered: np.ndarray

    @property
    def candidates(self) -> np.ndarray:
        """Text numbers of the candidates."""
        return np.concatenate((self.fresh, self.remembered))


class Drawing:
    """Draws batches: a batch is a function of the seed and the step's number, so any run can go on anywhere."""

    def __init__(self, pairs: Pairs, settings: FineTuning, seed: int) -> None:
        self.pairs = pairs
        self.settings = settings
        self.seed = seed
        self.anchors = np.flatnonzero(np.diff(pairs.weight.indptr))
        # Titles and descriptions are anchors as often as an item that nobody chose.
        chosen = np.concatenate((pairs.count, pairs.asked, np.zeros(len(pairs.owner) - pairs.n_owners)))
        share = np.maximum(chosen[self.anchors], 1.0) ** settings.anchor_power
        total = np.asarray(pairs.weight.sum(axis=1)).ravel()[self.anchors]
        self.chance = share * total / (share * total).sum()
        #: Items that nobody chose are no negatives either: nothing is known against them.
        of_items = pairs.weight[:, : pairs.n_items]
        self.known_items = np.flatnonzero(np.diff(of_items.tocsc().indptr))

    def steps(self, epochs: float) -> int:
        """Return how many steps show as many texts as the pairs have, `epochs` times; `least_steps` at least."""
        return max(1, self.settings.least_steps, round(epochs * len(self.anchors) / self.settings.batch_texts))

    def batch(self, step: int) -> Batch:
        """Draw the texts of a step, sorted."""
        rng = np.random.default_rng((self.seed, step))
        size = min(self.settings.batch_texts, len(self.anchors))
        n_partners = int(size * self.settings.partner_share)
        drawn = rng.choice(self.anchors, size - n_partners, replace=False, p=self.chance)
        # A title or a description is remembered by nobody, so its partner must come along; a query's does, too, so
        # that both are moved.
        lonely = drawn[drawn >= self.pairs.n_items]
        accompanied = np.concatenate((lonely, drawn[drawn < self.pairs.n_items][:n_partners]))
        fresh = np.union1d(drawn, self._partners(accompanied, rng))
        rest = np.setdiff1d(self.known_items, fresh, assume_unique=True)
        if len(rest) > self.settings.remembered:
            rest = np.sort(rng.choice(rest, self.settings.remembered, replace=False))
        return Batch(fresh, rest)

    def _partners(self, texts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        weight = self.pairs.weight
        found = []
        for text in texts.tolist():
            row = slice(weight.indptr[text], weight.indptr[text + 1])
            chance = weight.data[row] / weight.data[row].sum()
            found.append(int(rng.choice(weight.indices[row], p=chance)))
        return np.array(found, dtype=np.int64)


class Judge:
    """Says what is a positive and what a negative in a batch.

    Never a negative is a query, a text of the same item, of an item that is a known positive of the anchor's item
    (or of the query that is the anchor), and what the base model holds nearer to the anchor than `margin` times
    its nearest positive: such texts are likely to be positives that nobody has yet chosen (GISTEmbed, Solatorio,
    2024, section 3; the share as in NV-Retriever, Moreira et al., 2024, section 4.1).
    """

    def __init__(self, pairs: Pairs, base_vectors: Tensor, settings: FineTuning) -> None:
        """Gather what is known: `base_vectors` are the base model's, of item texts and queries."""
        self.pairs = pairs
        self.base = base_vectors
        self.settings = settings
        owners = pairs.weight[: pairs.n_owners, : pairs.n_owners]
        self.related = (owners + sparse.identity(pairs.n_owners, format="csr")).astype(bool).tocsr()
        share = (pairs.count + 1.0) / (pairs.count.sum() + pairs.n_items)
        # A query is no candidate, so nobody asks for its share.
        self.log_share = np.concatenate((settings.share_power * np.log(share), np.zeros(len(pairs.asked))))

    def positives(self, batch: Batch) -> Positives:
        """Return the batch's pairs."""
        rows = self.pairs.weight[batch.fresh].tocoo()
        candidates = batch.candidates
        column = np.full(len(self.pairs.owner), -1, dtype=np.int64)
        column[candidates] = np.arange(len(candidates))
        kept = column[rows.col] >= 0
        device = self.base.device
        return Positives(
            torch.from_numpy(rows.row[kept].astype(np.int64)).to(device),
            torch.from_numpy(column[rows.col[kept]]).to(device),
            torch.from_numpy(rows.data[kept].astype(np.float32)).to(device),
        )

    def negatives(self, batch: Batch, positives: Positives, scores: Tensor) -> Tensor:
        """Return anchors x candidates: what counts as a negative.

        Args:
            batch: texts.
            positives: their pairs.
            scores: anchors x candidates cosines of the model in training, by which hard negatives are mined.

        """
        owner, candidate_owner = self.pairs.owner[batch.fresh], self.pairs.owner[batch.candidates]
        related = self.related[owner][:, candidate_owner].tocoo()
        is_negative = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
        is_negative[
            torch.from_numpy(related.row.astype(np.int64)), torch.from_numpy(related.col.astype(np.int64))
        ] = False
        is_query = (batch.candidates >= self.pairs.n_items) & (batch.candidates < self.pairs.n_owners)
        is_negative[:, torch.from_numpy(is_query)] = False
        if self.settings.margin is not None:
            alike = self.base[torch.from_numpy(owner)] @ self.base[torch.from_numpy(candidate_owner)].T
            nearest = torch.full((len(owner),), -1.0, device=scores.device)
            nearest.scatter_reduce_(
                0, positives.anchor, alike[positives.anchor, positives.candidate], reduce="amax"
            )
            is_negative &= alike <= self.settings.margin * nearest[:, None]
        n_fresh = len(batch.fresh)
        if 0 < self.settings.mined < scores.shape[1] - n_fresh:
            allowed = scores[:, n_fresh:].masked_fill(~is_negative[:, n_fresh:], -torch.inf)
            limit = allowed.topk(self.settings.mined, dim=1).values[:, -1:]
            is_negative[:, n_fresh:] &= allowed >= limit
        return is_negative

    def log_share_of(self, batch: Batch) -> Tensor:
        """Return the log of how often each candidate's item is chosen."""
        share = self.log_share[self.pairs.owner[batch.candidates]]
        return torch.from_numpy(share.astype(np.float32)).to(self.base.device)
