"""Which item comes next: causal self-attention over a user's items, trained on every prefix at once.

After SASRec (Kang and McAuley, 2018), with what later work found to matter more than the architecture: a
softmax over all items, or a sampled one with correction, instead of one negative (Klenitskiy and Vasilev,
2023); cosine logits with a learned temperature; distances instead of absolute places in the attention
(Press et al., 2022), so that a prefix and a whole history look alike. An item's vector is the sum of its own
and a projection of its text's: what is learned about one item serves those that read alike, and an item
without any action has a vector too. What each action was and how long after the one before is read with it;
what is asked for (a purchase, some days later) is part of the question.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.recommender.dataset import EVENT_CODES
from ml.recommender.sequences import GAP_BUCKETS

#: Directions in which texts differ by less than this share of all that they hold are rounding.
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class SequenceSettings:
    """The dials of the model and of its training."""

    dimensions: int = 128
    blocks: int = 2
    heads: int = 4
    length: int = 50  # most recent actions read
    dropout: float = 0.4
    item_dropout: float = 0.1  # share of a history's items that are left out in training
    id_dropout: float = 0.1  # share of items that a step knows by their text alone, as a new item is
    temperature: float = 0.07  # where training starts; learned
    epochs: int = 12
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    batch_tokens: int = 2048
    negatives: int = 2048  # items that share the softmax with the target; the whole catalogue where smaller


@dataclass(frozen=True)
class Actions:
    """Sequences x places, int64: item positions (-1 is none), event codes, gap buckets; and of the next action."""

    items: Tensor
    event: Tensor
    gap: Tensor
    next_event: Tensor
    next_gap: Tensor


class Block(nn.Module):
    """Attention over the past, then a feed-forward layer, each added to its normalised input."""

    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        d = settings.dimensions
        self.heads = settings.heads
        self.dropout = settings.dropout
        self.before_attention = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        # One slope a head to start with: a near and a far view.
        slopes = 2.0 ** -torch.arange(1, settings.heads + 1, dtype=torch.float32)
        self.by_distance = nn.Parameter(-slopes[:, None] * torch.arange(settings.length))
        self.before_layers = nn.LayerNorm(d)
        self.layers = nn.Sequential(
            nn.Linear(d, 2 * d), nn.GELU(), nn.Dropout(settings.dropout), nn.Linear(2 * d, d)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Transform sequences x places x dimensions; `bias` is -inf where a place may not be read."""
        n, length, d = x.shape
        q, k, v = (
            self.qkv(self.before_attention(x))
            .view(n, length, 3, self.heads, d // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        place = torch.arange(length, device=x.device)
        distance = (place[:, None] - place[None, :]).clamp(min=0)
        bias = self.by_distance[:, distance] + bias
        weights = (q @ k.transpose(2, 3) * (d // self.heads) ** -0.5 + bias).softmax(dim=3)
        weights = functional.dropout(weights, self.dropout / 2, self.training)
        x = x + functional.dropout(
            self.out((weights @ v).transpose(1, 2).reshape(n, length, d)), self.dropout, self.training
        )
        return x + functional.dropout(self.layers(self.before_layers(x)), self.dropout, self.training)


class SequenceModel(nn.Module):
    """Vectors of items and of users after each of their actions, all of length 1."""

    text: Tensor
    is_known: Tensor

    def __init__(self, text: Tensor, is_known: Tensor, settings: SequenceSettings) -> None:
        """Start from the texts' principal directions.

        Args:
            text: items x text dimensions, float32.
            is_known: whether each item has a vector of its own: one without any action has none.
            settings: sizes and dropout.

        """
        super().__init__()
        self.settings = settings
        d = settings.dimensions
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("is_known", is_known[:, None].float(), persistent=False)
        self.from_text = nn.Linear(text.shape[1], d, bias=False)
        self.shift = nn.Parameter(torch.zeros(d))
        self._start_from(text)
        self.own = nn.Embedding(len(text), d)
        nn.init.normal_(self.own.weight, std=0.3 * d**-0.5)
        # What an action was, how long after the one before; and of the next one, what it is and how long after.
        self.of_event, self.next_event = (nn.Embedding(len(EVENT_CODES), d) for _ in range(2))
        self.of_gap, self.next_gap = (nn.Embedding(GAP_BUCKETS, d) for _ in range(2))
        for embedding in (self.of_event, self.next_event, self.of_gap, self.next_gap):
            nn.init.zeros_(embedding.weight)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))
        self.last_norm = nn.LayerNorm(d)
        self.log_scale = nn.Parameter(torch.tensor(1.0 / settings.temperature).log())

    @torch.no_grad()
    def _start_from(self, text: Tensor) -> None:
        """Let the texts' principal directions be where items' vectors start; nothing where all texts are alike."""
        mean = text.mean(dim=0)
        centred = text - mean
        _, spread, directions = torch.linalg.svd(centred.T @ centred)
        # Rounding alone gives equal texts directions; blown up to length 1 they would drown all that is learned.
        differs = spread[: len(self.shift)] > LEAST_SPREAD * max(float(spread[0]), float(text.square().sum()))
        nn.init.zeros_(self.from_text.weight)
        if not bool(differs.any()):
            return
        # Spread evened out half way: the first directions are broad categories.
        scale = spread[: len(differs)].clamp(min=1e-9) ** -0.25
        projection = directions[: len(differs)] * (scale * differs)[:, None]
        norm = (centred @ projection.T).norm(dim=1).mean()
        self.from_text.weight[: len(projection)].copy_(projection / norm)
        self.shift.copy_(-(mean @ self.from_text.weight.T))

    @property
    def scale(self) -> Tensor:
        """1 / temperature, bounded."""
        return self.log_scale.exp().clamp(max=100.0)

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Return items x dimensions, of all items or of those at some positions."""
        is_known, text, own = self.is_known, self.text, self.own.weight
        if self.training and self.settings.id_dropout:
            # As in DropoutNet (Volkovs et al., 2017): the text has to stand in for the item now and then.
            is_known = is_known * (torch.rand_like(is_known) >= self.settings.id_dropout)
        if items is not None:
            is_known, text, own = is_known[items], text[items], own.index_select(0, items)
        return functional.normalize(self.from_text(text) + self.shift + is_known * own, dim=1)

    def forward(self, actions: Actions, vectors: Tensor) -> Tensor:
        """Return the user's vector after each action: sequences x places x dimensions.

        Args:
            actions: what is read, and what is asked for next.
            vectors: of all items.

        """
        items = actions.items
        length = items.shape[1]
        x = vectors[items.clamp(min=0)] * self.settings.dimensions**0.5
        x = x + self.of_event(actions.event) + self.of_gap(actions.gap)
        is_read = items >= 0
        if self.training:
            is_read = is_read & (torch.rand(items.shape, device=items.device) >= self.settings.item_dropout)
        causal = torch.ones(length, length, dtype=torch.bool, device=items.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=items.device)
        readable = (causal & is_read[:, None, :]) | itself
        x = functional.dropout(x * is_read[:, :, None], self.settings.dropout, self.training)
        bias = torch.zeros_like(readable, dtype=x.dtype).masked_fill(~readable, -torch.inf)[:, None]
        for block in self.blocks:
            x = block(x, bias)
        x = self.last_norm(x) + self.next_event(actions.next_event) + self.next_gap(actions.next_gap)
        return functional.normalize(x, dim=2)


class _SoftmaxLoss(torch.autograd.Function):
    """Cross-entropy of a softmax over rows of `others` plus the target, its gradients made in the forward pass.

    One pass over the logits instead of autograd's several: they are by far the largest array of training.
    """

    @staticmethod
    def forward(ctx, users, targets, others, clash, correction):  # type: ignore[no-untyped-def]
        """Return the mean loss; `clash` says which of the others is the target itself (its column, or -1)."""
        n = len(users)
        d_users, d_others = torch.empty_like(users), torch.zeros_like(others)
        d_targets = torch.empty_like(targets)
        loss = users.new_zeros(())
        for begin in range(0, n, 256):
            part = slice(begin, min(n, begin + 256))
            u, t = users[part], targets[part]
            z = u @ others.T
            hit = (clash[part] >= 0).nonzero().squeeze(1)
            z[hit, clash[part][hit]] = -torch.inf
            z += correction
            own = (u * t).sum(dim=1)
            top = torch.maximum(z.amax(dim=1), own)
            z.sub_(top[:, None]).exp_()
            e = (own - top).exp()
            total = z.sum(dim=1) + e
            loss += (total.log() + top - own).sum()
            z.mul_((1.0 / (n * total))[:, None])
            p = (e / total - 1.0) / n
            d_users[part] = z @ others + p[:, None] * t
            d_others += z.T @ u
            d_targets[part] = p[:, None] * u
        ctx.save_for_backward(d_users, d_targets, d_others)
        return loss / n

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        """Hand out the gradients."""
        d_users, d_targets, d_others = ctx.saved_tensors
        return grad * d_users, grad * d_targets, grad * d_others, None, None


def softmax_loss(
    users: Tensor, target: Tensor, vectors: Tensor, scale: Tensor, sampled: Tensor | None, n_items: int = 0
) -> Tensor:
    """Return the mean cross-entropy of each target among all items, or among itself and `sampled`.

    Args:
        users: rows x dimensions, of length 1.
        target: item position of each row.
        vectors: of all items, of length 1.
        scale: 1 / temperature.
        sampled: item positions drawn evenly without replacement, or None for all.
        n_items: among how many they were drawn.

    """
    column = torch.full((len(vectors),), -1, device=users.device)
    if sampled is None:
        others, correction = vectors, 0.0
        column = torch.arange(len(vectors), device=users.device)
    else:
        others = vectors[sampled]
        # Each sampled item stands for n_items / len(sampled) of them.
        correction = float(torch.tensor(n_items / len(sampled)).log())
        column[sampled] = torch.arange(len(sampled), device=users.device)
    return _SoftmaxLoss.apply(users * scale, vectors[target], others, column[target], correction)
