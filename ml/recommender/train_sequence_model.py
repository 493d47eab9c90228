"""Train the sequence model: windows of like length in a batch, one cycle of the learning rate, seeded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ml.recommender.sequence_model import SequenceModel, SequenceSettings, softmax_loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Windows:
    """Stretches of users' sequences: rows of `items` from `begin` to `end`; targets count from `fresh` on."""

    begin: np.ndarray
    end: np.ndarray
    fresh: np.ndarray


def cut_windows(starts: np.ndarray, length: int) -> Windows:
    """Cut each user's sequence into windows of at most `length` + 1 items which overlap by half.

    Args:
        starts: where each user's items begin, and the end of the last: users + 1 places.
        length: items that the model reads.

    """
    step = max(1, length // 2)
    begin, end, fresh = [], [], []
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if last - first < 2:
            continue
        done, stop = first + 1, min(last, first + length + 1)
        while True:
            begin.append(max(first, stop - length - 1))
            end.append(stop)
            fresh.append(done)
            if stop == last:
                break
            done, stop = stop, min(last, stop + step)
    return Windows(np.array(begin), np.array(end), np.array(fresh))


def batches(windows: Windows, batch_tokens: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield window numbers, those of like length together, in random order."""
    size = windows.end - windows.begin - 1
    order = np.argsort(size + rng.random(len(size)) * 0.999, kind="stable")
    total = np.cumsum(size[order])
    cuts = np.searchsorted(total, np.arange(batch_tokens, total[-1], batch_tokens))
    parts = [part for part in np.split(order, np.unique(cuts)) if len(part)]
    for number in rng.permutation(len(parts)):
        yield parts[number]


def last_windows(items: np.ndarray, starts: np.ndarray, users: np.ndarray, length: int) -> np.ndarray:
    """Return users x places: the last items of each user, right-aligned, -1 before them."""
    width = int(min(length, max(1, (starts[users + 1] - starts[users]).max())))
    place = starts[users + 1][:, None] - width + np.arange(width)
    inside = place >= starts[users][:, None]
    return np.where(inside, items[np.maximum(place, 0)], -1)


@contextmanager
def half_precision_products() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices in bfloat16 where the processor can: sums stay float32."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


@half_precision_products()
def train(
    items: np.ndarray,
    starts: np.ndarray,
    text: np.ndarray,
    settings: SequenceSettings,
    seed: int,
    after_epoch: Callable[[int, SequenceModel], None] | None = None,
    device: str = "cpu",
) -> SequenceModel:
    """Train on all users' sequences.

    Args:
        items: item positions, users one after the other, oldest first.
        starts: where each user's items begin, and the end of the last: users + 1 places.
        text: items x text dimensions.
        settings: of the model and the training.
        seed: of weights, order, dropout and sampling.
        after_epoch: called with the epoch's number, from 1, and the model.
        device: where to train; the model comes back to the processor.

    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = SequenceModel(torch.from_numpy(np.asarray(text, dtype=np.float32)), settings).to(device)
    windows = cut_windows(starts, settings.length)
    n_tokens = int((windows.end - windows.begin - 1).sum())
    n_batches = -(-n_tokens // settings.batch_tokens) + 1
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=settings.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.epochs * n_batches + 1, pct_start=0.1,
        cycle_momentum=False,
    )  # fmt: skip
    n_items = len(text)
    started = time.process_time()
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = seen = 0.0
        for chosen in batches(windows, settings.batch_tokens, rng):
            begin, end, fresh = windows.begin[chosen], windows.end[chosen], windows.fresh[chosen]
            place = begin[:, None] + np.arange(int((end - begin).max()))
            read = np.where(place < end[:, None] - 1, items[np.minimum(place, len(items) - 1)], -1)
            counts = torch.from_numpy((place + 1 < end[:, None]) & (place + 1 >= fresh[:, None]))[:, :-1].to(
                device
            )
            following = torch.from_numpy(items[np.minimum(place + 1, len(items) - 1)])[:, :-1].to(device)
            vectors = model.item_vectors()
            users = model(torch.from_numpy(read[:, :-1]).to(device), vectors)
            sampled = None
            if settings.negatives < n_items:
                sampled = torch.from_numpy(
                    rng.choice(n_items, settings.negatives, replace=False, shuffle=False)
                ).to(device)
            loss = softmax_loss(
                users[counts], following[counts], vectors, model.log_scale.exp().clamp(max=100.0), sampled
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * int(counts.sum())
            seen += int(counts.sum())
        log.info("epoch %d of %d: loss %.4f, scale %.1f, %.0f s of processor time", epoch, settings.epochs,
                 total / seen, float(model.log_scale.detach().exp()), time.process_time() - started)  # fmt: skip
        if after_epoch is not None:
            after_epoch(epoch, model)
    return model.to("cpu").eval()


@torch.no_grad()
def user_vectors(
    model: SequenceModel, items: np.ndarray, starts: np.ndarray, users: np.ndarray, batch: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return users x dimensions, scaled by 1 / temperature, and items x dimensions: their product is the logits.

    A user without any item has a vector of zeros.
    """
    model.eval()
    vectors = model.item_vectors()
    found = torch.zeros(len(users), vectors.shape[1])
    some = np.flatnonzero(starts[users + 1] > starts[users])
    some = some[np.argsort((starts[users + 1] - starts[users])[some], kind="stable")]
    for begin in range(0, len(some), batch):
        rows = some[begin : begin + batch]
        read = last_windows(items, starts, users[rows], model.settings.length)
        found[rows] = model(torch.from_numpy(read), vectors)[:, -1]
    return found * model.log_scale.exp().clamp(max=100.0), vectors
