"""The contrastive loss: what was chosen together must lie nearer than what was not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Positives:
    """Pairs of a batch, one entry a pair: row of the anchor, column of the candidate, and the pair's weight."""

    anchor: Tensor
    candidate: Tensor
    weight: Tensor


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positives: Positives,
    is_negative: Tensor,
    log_share: Tensor,
    temperature: float,
) -> Tensor:
    """Return the weighted mean over pairs of -log p(positive | anchor, its negatives), a scalar.

    InfoNCE (Oord et al., 2018, equation 4) over scores cosine / temperature (Henderson et al., 2017, section 4.4,
    for the negatives from the batch). An anchor may have several positives: each is held against the negatives
    alone, never against another positive (as L_out of Khosla et al., 2020, without positives in the denominator).

    Args:
        anchors: anchors x dimensions, of length 1.
        candidates: candidates x dimensions, of length 1.
        positives: the pairs.
        is_negative: anchors x candidates, what each anchor is held against.
        log_share: log of how often each candidate is chosen at all. Added to its score, it leaves the vectors to
            say how much more than usual two go together (the logQ correction of Yi et al., 2019, turned round: as
            if uniform negatives had been drawn at that rate).
        temperature: of the scores.

    """
    scores = anchors @ candidates.T / temperature + log_share
    against = scores.masked_fill(~is_negative, -torch.inf).logsumexp(dim=1)
    of_pairs = functional.softplus(against[positives.anchor] - scores[positives.anchor, positives.candidate])
    return (positives.weight * of_pairs).sum() / positives.weight.sum().clamp_min(1e-12)
