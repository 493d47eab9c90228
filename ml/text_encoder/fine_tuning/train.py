"""The training loop: warm-up, decay, early stopping on later choices, gradient caching, checkpoints, several GPUs.

Everything random is a function of the seed and the step, and of nothing else: a killed run goes on from its last
checkpoint and ends with the same weights, and two processes end with those of one (but for the order of sums).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ml.text_encoder.fine_tuning.batches import Batch, Drawing, Judge
from ml.text_encoder.fine_tuning.encoder import TextEncoder
from ml.text_encoder.fine_tuning.loss import info_nce
from ml.text_encoder.fine_tuning.optimiser import optimiser_of, rate_at
from ml.text_encoder.fine_tuning.pairs import Pairs
from ml.text_encoder.fine_tuning.settings import FineTuning
from ml.text_encoder.fine_tuning.team import Team

log = logging.getLogger(__name__)

#: What a checkpoint keeps of the trainer's own.
PLAIN = ("done", "steps", "texts", "tokens", "seconds", "values")
#: Steps by which the pace is known.
PACE_STEPS = 5
#: Between two words on how far a training is.
REPORT_S = 60.0
Report = Callable[[str, float, int], None]


@dataclass(frozen=True)
class Exam:
    """Judges vectors by choices that the pairs do not hold.

    `value` takes the vectors of all item texts, of which it reads those of `texts` alone, and returns how good
    they are: larger is better.
    """

    value: Callable[[np.ndarray], float]
    texts: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """How a training went: values held out, of the base model and of what is left, and what it took.

    What is left is `share` of the way from the base model to the state at `best_step`.
    """

    base_value: float
    best_value: float
    best_step: int
    share: float
    steps: int
    texts: int
    tokens: int
    seconds: float
    stopped_early: bool


class Trainer:
    """One training, from the base model to the best state that was seen."""

    def __init__(
        self, encoder: TextEncoder, pairs: Pairs, settings: FineTuning, seed: int, exam: Exam, team: Team
    ) -> None:
        """Gather what is needed.

        Args:
            encoder: made with `pairs.texts`.
            pairs: what to learn.
            settings: how.
            seed: of batches and dropout.
            exam: says when to stop, and which state is the best.
            team: this process among its like.

        """
        self.encoder = encoder
        self.pairs = pairs
        self.settings = settings
        self.seed = seed
        self.exam = exam
        self.team = team
        self.drawing = Drawing(pairs, settings, seed)
        self.optimiser = optimiser_of(encoder, settings)
        self.steps = self.drawing.steps(settings.epochs)
        self.done, self.texts, self.tokens, self.seconds = 0, 0, 0, 0.0
        self.values: list[tuple[int, float]] = []
        self.start = encoder.state()
        self.best: dict[str, Tensor] = {}

    # ---- one step ----------------------------------------------------------------------------

    def loss_of(self, batch: Batch, vectors: Tensor, judge: Judge, memory: Tensor) -> Tensor:
        """Return the loss of a batch given the vectors of its fresh texts."""
        remembered = memory[torch.from_numpy(batch.remembered).to(memory.device)]
        candidates = torch.cat((vectors, remembered))
        positives = judge.positives(batch)
        with torch.no_grad():
            is_negative = judge.negatives(batch, positives, vectors @ candidates.T)
        return info_nce(
            vectors, candidates, positives, is_negative, judge.log_share_of(batch), self.settings.temperature
        )

    def chunk_vectors(self, texts: np.ndarray, step: int, chunk: int) -> Tensor:
        """Encode a chunk with dropout that depends on nothing but seed, step and chunk."""
        torch.manual_seed(int(np.random.SeedSequence((self.seed, step, chunk)).generate_state(1)[0]))
        return self.encoder.vectors(texts)

    def gradients(self, batch: Batch, step: int, judge: Judge, memory: Tensor) -> float:
        """Set the gradients of one batch and return its loss.

        The gradient with respect to the vectors is found first, then carried through the model chunk by chunk
        (GradCache, Gao et al., 2021). A batch of more than `held_texts` is encoded twice for it: memory is then
        that of one chunk.
        """
        chunks = self.encoder.chunks(batch.fresh, self.settings.chunk_texts)
        mine = range(self.team.rank, len(chunks), self.team.size)
        holds = len(batch.fresh) <= self.settings.held_texts
        held: dict[int, Tensor] = {}
        vectors = torch.zeros((len(batch.fresh), memory.shape[1]), device=memory.device)
        for c in mine:
            with torch.set_grad_enabled(holds):
                found = self.chunk_vectors(batch.fresh[chunks[c]], step, c)
            vectors[torch.from_numpy(chunks[c])] = found.detach()
            if holds:
                held[c] = found
        vectors = self.team.sum(vectors).requires_grad_()
        loss = self.loss_of(batch, vectors, judge, memory)
        loss.backward()
        assert vectors.grad is not None
        for c in mine:
            found = held.pop(c) if holds else self.chunk_vectors(batch.fresh[chunks[c]], step, c)
            found.backward(vectors.grad[torch.from_numpy(chunks[c])])
        if self.team.size > 1:
            self.add_up_gradients()
        is_item = batch.fresh < self.pairs.n_items
        memory[torch.from_numpy(batch.fresh[is_item])] = vectors.detach()[torch.from_numpy(is_item)]
        self.texts += len(batch.fresh)
        self.tokens += int(self.encoder.lengths[batch.fresh].sum())
        return float(loss.detach())

    def add_up_gradients(self) -> None:
        """Give every process the sum; weights that no process uses (a pooler) stay without a gradient."""
        for parameter in self.encoder.trained().values():
            own = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            everyones = self.team.sum(own)
            parameter.grad = everyones if bool(everyones.any()) else None

    def step(self, judge: Judge, memory: Tensor) -> float:
        """Take one step and return its loss."""
        rate = self.settings.learning_rate * rate_at(self.done, self.steps, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = self.gradients(self.drawing.batch(self.done), self.done, judge, memory)
        torch.nn.utils.clip_grad_norm_(self.encoder.trained().values(), self.settings.max_gradient)
        self.optimiser.step()
        self.done += 1
        return loss

    # ---- the whole ---------------------------------------------------------------------------

    def fit(
        self,
        checkpoint: Path | None = None,
        seconds: float | None = None,
        report: Report | None = None,
        base: Tensor | None = None,
    ) -> Outcome:
        """Train, leave the best state in the encoder, and say how it went.

        Args:
            checkpoint: file to go on from and to keep the state in, after each evaluation; None for none.
            seconds: budget; after the first steps the number of steps is cut to what fits into it.
            report: called with a figure's name, its value and its step.
            base: the base model's vectors of all item texts and queries, where they are known.

        """
        in_half = self.team.agreed(self.encoder.precision == torch.bfloat16, self.encoder.device)
        self.encoder.precision = torch.bfloat16 if in_half else torch.float32
        self.base = self.encoder.encode(np.arange(self.pairs.n_owners)) if base is None else base
        memory = self.base[: self.pairs.n_items].clone()
        judge = Judge(self.pairs, self.base, self.settings)
        if not self.restore(checkpoint, memory):
            self.values = [(0, self.exam.value(memory.cpu().numpy()))]
            self.best = self.encoder.state()
        log.info("%d steps of %d texts on %d pairs; value of the base model %.4f; %d weights to train",
                 self.steps, self.settings.batch_texts, len(self.pairs), self.values[0][1],
                 sum(p.numel() for p in self.encoder.trained().values()))  # fmt: skip
        said = time.perf_counter()
        while not self.is_over():
            began = time.perf_counter()
            self.encoder.model.train()
            loss = self.step(judge, memory)
            self.seconds += time.perf_counter() - began
            if report is not None:
                report("loss", loss, self.done)
            if time.perf_counter() - said > REPORT_S:
                said = time.perf_counter()
                log.info("step %d of %d: loss %.4f, %.1f s a step", self.done, self.steps, loss, said - began)
            if seconds is not None and self.done == PACE_STEPS:
                self.fit_into(seconds)
            if self.done % self.interval == 0 or self.done == self.steps:
                began = time.perf_counter()
                memory[torch.from_numpy(self.exam.texts)] = self.encoder.encode(self.exam.texts)
                self.evaluated(self.exam.value(memory.cpu().numpy()), loss, report)
                self.save(checkpoint, memory)
                self.seconds += time.perf_counter() - began
        best_step, best_value = max(self.values, key=lambda one: (one[1], -one[0]))
        began = time.perf_counter()
        share, best_value = self.part_way(memory, best_value) if best_step else (1.0, best_value)
        self.seconds += time.perf_counter() - began
        self.encoder.model.eval()
        return Outcome(
            self.values[0][1], best_value, best_step, share, self.done, self.texts, self.tokens,
            round(self.seconds, 1), self.done < self.steps,
        )  # fmt: skip

    def part_way(self, memory: Tensor, best_value: float) -> tuple[float, float]:
        """Leave the share of the way to the best state in the encoder that has the highest value; return both.

        Args:
            memory: vectors of all item texts; those of the exam are overwritten.
            best_value: of the whole way.

        """
        values = {1.0: best_value}
        for share in self.settings.shares:
            if share not in values:
                self.encoder.set_state(self.on_the_way(share))
                memory[torch.from_numpy(self.exam.texts)] = self.encoder.encode(self.exam.texts)
                values[share] = self.exam.value(memory.cpu().numpy())
        log.info("values of a part of the way: %s", {share: round(value, 4) for share, value in values.items()})
        best = max(values, key=lambda share: (values[share], share))
        self.encoder.set_state(self.on_the_way(best))
        return best, values[best]

    def on_the_way(self, share: float) -> dict[str, Tensor]:
        """Return the weights between the base model's (0) and the best state's (1)."""
        return self.best if share == 1.0 else {
            name: torch.lerp(self.start[name].float(), weights.float(), share).to(weights.dtype)
            for name, weights in self.best.items()
        }  # fmt: skip

    @property
    def interval(self) -> int:
        """Steps from one evaluation to the next."""
        return max(1, -(-self.steps // self.settings.evaluations))

    def is_over(self) -> bool:
        """Return whether all steps are done, or the value has not risen for `patience` evaluations."""
        best = max(range(len(self.values)), key=lambda n: (self.values[n][1], -n))
        return self.done >= self.steps or len(self.values) - 1 - best >= self.settings.patience

    def fit_into(self, budget: float) -> None:
        """Cut the number of steps to what fits into `budget` seconds at the pace so far, evaluations included."""
        a_step, a_text = self.seconds / self.done, self.seconds / self.texts
        # A pass forth is about a third of one forth and back.
        evaluations = (self.settings.evaluations + len(self.settings.shares)) * len(self.exam.texts) * a_text / 3
        fits = self.team.agreed((budget - evaluations) / a_step, self.encoder.device)
        affordable = max(PACE_STEPS, int(fits))
        if affordable < self.steps:
            log.info("%.1f s a step: %d of %d steps fit into %.0f s", a_step, affordable, self.steps, budget)
            self.steps = affordable

    def evaluated(self, value: float, loss: float, report: Report | None) -> None:
        """Note a value, and the state if there was none better."""
        if value > max(v for _, v in self.values):
            self.best = self.encoder.state()
        self.values.append((self.done, value))
        log.info("step %d of %d: loss %.4f, value %.4f (base %.4f), %.0f s",
                 self.done, self.steps, loss, value, self.values[0][1], self.seconds)  # fmt: skip
        if report is not None:
            report("held_out_ndcg", value, self.done)

    # ---- checkpoints -------------------------------------------------------------------------

    def save(self, path: Path | None, memory: Tensor) -> None:
        """Keep all that training needs to go on as if it had not been interrupted."""
        if path is None or not self.team.is_first:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        plain = {name: getattr(self, name) for name in PLAIN}
        state: dict[str, Any] = {
            **plain,
            "weights": self.encoder.state(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "memory": memory.cpu(),
            "precision": str(self.encoder.precision),
        }
        torch.save(state, aside)
        aside.replace(path)

    def restore(self, path: Path | None, memory: Tensor) -> bool:
        """Go on from a checkpoint, if there is one."""
        if path is None or not path.is_file():
            return False
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name in PLAIN:
            setattr(self, name, state[name])
        self.encoder.set_state(state["weights"])
        self.best = state["best"]
        self.optimiser.load_state_dict(state["optimiser"])
        memory.copy_(state["memory"])
        self.encoder.precision = torch.bfloat16 if state["precision"] == "torch.bfloat16" else torch.float32
        log.info("going on after step %d of %d", self.done, self.steps)
        return True
