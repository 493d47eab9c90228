"""Train the sequence model: windows of like length in a batch, one cycle of learning rate, seeded, resumable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ml.recommender.dataset import PURCHASE
from ml.recommender.sequence_model import Actions, SequenceModel, SequenceSettings, softmax_loss
from ml.recommender.sequences import Sequences, Windows, batches, cut_windows, gap_bucket, last_windows

log = logging.getLogger(__name__)

WARM_UP = 3  # batches that are slower than those after them
AfterEpoch = Callable[[int, SequenceModel, float], None]


@contextmanager
def half_precision_products() -> Iterator[None]:
    """Let oneDNN multiply float32 matrices in bfloat16 where the processor can: sums stay float32."""
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before


def windows_as_actions(
    sequences: Sequences, gap: np.ndarray, windows: Windows, chosen: np.ndarray, device: str
) -> tuple[Actions, torch.Tensor, torch.Tensor]:
    """Return a batch of windows, the item that follows each place, and which places count as targets."""
    begin, end, fresh = windows.begin[chosen], windows.end[chosen], windows.fresh[chosen]
    place = begin[:, None] + np.arange(int((end - begin).max()) - 1)
    following = place + 1
    counts = (following < end[:, None]) & (following >= fresh[:, None])
    is_read = following < end[:, None]
    place, following = (np.minimum(where, len(sequences.item) - 1) for where in (place, following))
    # The first action of a window has no action before it.
    gaps = np.where(place == begin[:, None], 0, gap[place])

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    actions = Actions(
        tensor(np.where(is_read, sequences.item[place], -1)),
        tensor(sequences.event[place]),
        tensor(gaps),
        tensor(sequences.event[following]),
        tensor(gap[following]),
    )
    return actions, tensor(sequences.item[following]), tensor(counts)


def _optimiser(
    model: SequenceModel, settings: SequenceSettings, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=settings.learning_rate, betas=(0.9, 0.98),
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    return optimiser, schedule


class _Checkpoint:
    """Everything that training needs to go on as if it had not been interrupted, after each epoch."""

    def __init__(self, path: Path | None, parts: dict[str, Any], rng: np.random.Generator) -> None:
        self.path = path
        self.parts = parts
        self.rng = rng

    def save(self, epoch: int) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        state = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save(
            {**state, "epoch": epoch, "torch": torch.get_rng_state(), "numpy": self.rng.bit_generator.state}, aside
        )
        aside.replace(self.path)

    def restore(self) -> int:
        """Return how many epochs are done."""
        if self.path is None or not self.path.is_file():
            return 0
        # Written by `save` alone, into the project's own folder: the generator's state is a plain dict.
        state = torch.load(self.path, weights_only=False)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["torch"])
        self.rng.bit_generator.state = state["numpy"]
        log.info("going on after epoch %d: %s", state["epoch"], self.path)
        return int(state["epoch"])


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Let threads of the processor add gradients in one order: a seed then gives one model, interrupted or not."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def train(
    sequences: Sequences,
    text: np.ndarray,
    settings: SequenceSettings,
    seed: int,
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    after_epoch: AfterEpoch | None = None,
) -> SequenceModel:
    """Train on all users' sequences.

    Args:
        sequences: item positions and what else an action has, of all users.
        text: items x text dimensions.
        settings: of the model and the training.
        seed: of weights, order, dropout and sampling.
        device: where to train; the model comes back to the processor.
        checkpoint: file to save to after each epoch; where it is there, training goes on from it.
        after_epoch: called with the epoch's number, from 1, the model, and the epoch's mean loss.

    """
    with half_precision_products(), repeatable(device):
        return _train(sequences, text, settings, seed, device, checkpoint, after_epoch)


class _Training:
    """A model in training: its windows, optimiser and random numbers."""

    def __init__(
        self, sequences: Sequences, text: np.ndarray, settings: SequenceSettings, seed: int, device: str
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.sequences = sequences
        self.settings = settings
        self.device = device
        self.known = np.unique(sequences.item)
        is_known = np.zeros(len(text), dtype=bool)
        is_known[self.known] = True
        self.model = SequenceModel(
            torch.from_numpy(np.asarray(text, dtype=np.float32)), torch.from_numpy(is_known), settings
        ).to(device)
        self.windows = cut_windows(sequences.starts, settings.length)
        n_tokens = int((self.windows.end - self.windows.begin - 1).sum())
        self.n_batches = -(-n_tokens // settings.batch_tokens) + 1
        self.optimiser, self.schedule = _optimiser(self.model, settings, settings.epochs * self.n_batches + 1)
        self.n_sampled = min(settings.negatives, len(self.known))

    def batches(self) -> Iterator[tuple[Actions, torch.Tensor, torch.Tensor]]:
        """Yield an epoch's batches: what is read, the item that follows each place, which places are targets."""
        shuffled = self.sequences.shuffled_moments(self.rng)
        gap = shuffled.gap
        for chosen in batches(self.windows, self.settings.batch_tokens, self.rng):
            yield windows_as_actions(shuffled, gap, self.windows, chosen, self.device)

    def step(self, actions: Actions, following: torch.Tensor, counts: torch.Tensor) -> float:
        """Take one step and return the mean loss. Only items of the batch and sampled ones get vectors."""
        drawn = self.rng.choice(self.known, self.n_sampled, replace=False, shuffle=False)
        sampled = torch.from_numpy(drawn).to(self.device)
        target = following[counts]
        needed = torch.unique(torch.cat((actions.items.clamp(min=0).flatten(), target, sampled)))
        place = torch.zeros(len(self.model.text), dtype=torch.int64, device=self.device)
        place[needed] = torch.arange(len(needed), device=self.device)
        vectors = self.model.item_vectors(needed)
        read = replace(actions, items=torch.where(actions.items >= 0, place[actions.items], -1))
        users = self.model(read, vectors)
        loss = softmax_loss(
            users[counts], place[target], vectors, self.model.scale, place[sampled], len(self.known)
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        return float(loss.detach())


def _train(
    sequences: Sequences,
    text: np.ndarray,
    settings: SequenceSettings,
    seed: int,
    device: str,
    checkpoint: Path | None,
    after_epoch: AfterEpoch | None,
) -> SequenceModel:
    training = _Training(sequences, text, settings, seed, device)
    model = training.model
    parts = {"model": model, "optimiser": training.optimiser, "schedule": training.schedule}
    saved = _Checkpoint(checkpoint, parts, training.rng)
    started = time.monotonic()
    done = saved.restore()
    for epoch in range(done + 1, settings.epochs + 1):
        model.train()
        total = seen = 0.0
        for actions, following, counts in training.batches():
            n_targets = int(counts.sum())
            total += training.step(actions, following, counts) * n_targets
            seen += n_targets
        saved.save(epoch)
        log.info("epoch %d of %d: loss %.4f, scale %.1f, %.0f s", epoch, settings.epochs, total / max(seen, 1),
                 float(model.scale.detach()), time.monotonic() - started)  # fmt: skip
        if after_epoch is not None:
            after_epoch(epoch, model, total / max(seen, 1))
    return model.to("cpu").eval()


def seconds_an_epoch(
    sequences: Sequences, text: np.ndarray, settings: SequenceSettings, device: str = "cpu", batches: int = 20
) -> float:
    """Return about how long an epoch takes on this machine, by some batches after a few to warm up."""
    with half_precision_products(), repeatable(device):
        training = _Training(sequences, text, replace(settings, epochs=1), 0, device)
        training.model.train()
        began, timed = time.perf_counter(), 0
        for number, batch in enumerate(training.batches()):
            if number == WARM_UP:
                began, timed = time.perf_counter(), 0
            training.step(*batch)
            timed += 1
            if timed == batches:
                break
        return (time.perf_counter() - began) / max(timed, 1) * training.n_batches


@torch.no_grad()
def user_vectors(
    model: SequenceModel,
    vectors: torch.Tensor,
    sequences: Sequences,
    users: np.ndarray,
    as_of: float,
    batch: int = 1024,
) -> torch.Tensor:
    """Return users x dimensions, scaled by 1 / temperature: times `vectors` (of all items) they are the logits.

    What is asked for is a purchase, as long after the last action as `as_of` is. A user without any action has
    a vector of zeros.
    """
    model.eval()
    found = torch.zeros(len(users), vectors.shape[1])
    starts, gap = sequences.starts, sequences.gap
    counts = (starts[users + 1] - starts[users]).astype(np.int64)
    some = np.flatnonzero(counts)
    some = some[np.argsort(counts[some], kind="stable")]
    for begin in range(0, len(some), batch):
        rows = some[begin : begin + batch]
        place = last_windows(starts, users[rows], model.settings.length)
        there = np.maximum(place, 0)
        is_first = place == np.where(place >= 0, place, np.iinfo(np.int64).max).min(axis=1, keepdims=True)
        since_last = gap_bucket(as_of - sequences.time[starts[users[rows] + 1] - 1])
        actions = Actions(
            torch.from_numpy(np.where(place >= 0, sequences.item[there], -1)),
            torch.from_numpy(sequences.event[there]),
            torch.from_numpy(np.where(is_first, 0, gap[there])),
            torch.full(place.shape, PURCHASE),
            torch.from_numpy(np.broadcast_to(since_last[:, None], place.shape).copy()),
        )
        found[rows] = model(actions, vectors)[:, -1]
    return found * model.scale
