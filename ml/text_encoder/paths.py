"""How a model's numbers are computed: float32, bfloat16 or 8-bit integers; the fastest that keeps the quality.

Vectors of two paths are close but not equal, so a path belongs to the name of the vectors (`models.with_path`).
"""

from __future__ import annotations

import copy
import logging
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml.text_encoder.batches import Tokens, plan
from ml.text_encoder.encode import CHUNK_TEXTS, TOKEN_BUDGET, vectors_of
from ml.text_encoder.int8_linear import quantise_linears
from ml.text_encoder.models import PLAIN_PATH

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

#: Below this many texts, measuring costs more than it can save.
MANY_TEXTS = 2000
SAMPLE_TEXTS = 128
ROUNDS = 2
#: A path may be taken if its vectors' cosine to float32's is at least this on average, and at least that for each.
FIDELITY_MEAN = 0.995
FIDELITY_WORST = 0.98
#: A path must be this much faster than the one before it in the list: a tie is not worth the lost digits.
WORTHWHILE = 1.1


@dataclass(frozen=True)
class Measured:
    """One path on the sample: texts a second, cosine to float32's vectors; `eligible` if within the limits."""

    path: str
    texts_per_second: float
    cosine_mean: float
    cosine_worst: float
    eligible: bool


def paths_on(device: str) -> tuple[str, ...]:
    """Return the paths that this device computes fast, the most exact first."""
    if device == "cuda":
        return (PLAIN_PATH, "bfloat16")
    found = [PLAIN_PATH]
    if torch.cpu._is_avx512_bf16_supported():
        found.append("bfloat16")
    if torch.cpu._is_vnni_supported():  # without it the product of 8-bit integers is a plain loop
        found.append("int8")
    return tuple(found)


def convert(model: SentenceTransformer, path: str) -> SentenceTransformer:
    """Make the model's transformer compute along `path`, in place; pooling and what follows stay float32."""
    if path == PLAIN_PATH:
        return model
    backbone: Any = model[0].auto_model
    if path == "bfloat16":
        # Not its buffers: rotary frequencies in bfloat16 would turn the positions by half a radian.
        for parameter in backbone.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
    elif path == "int8":
        quantise_linears(backbone)
    else:
        raise ValueError(f"no such path: {path}")
    model[0].register_forward_hook(_to_float32)
    return model


def _to_float32(module: torch.nn.Module, given: Any, features: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in features.items()
    }


def choose(model: SentenceTransformer, texts: list[str]) -> tuple[SentenceTransformer, dict[str, Any]]:
    """Measure the paths on a sample of the texts; return the model on the best one, and the record of the choice.

    The paths take turns, after a round that is not timed; each holds a copy of the weights meanwhile. What other
    processes do at the time can change which of two near equals wins, not the quality: that is checked.
    """
    device = model.device.type
    names = paths_on(device) if hasattr(model[0], "auto_model") else (PLAIN_PATH,)
    if len(texts) < MANY_TEXTS and device == "cpu":
        log.info("path %s, not measured: %d texts are fewer than %d", PLAIN_PATH, len(texts), MANY_TEXTS)
        return model, {"path": PLAIN_PATH, "why": f"fewer than {MANY_TEXTS} texts", "measured": []}
    candidates = {name: convert(copy.deepcopy(model), name) for name in names[1:]} | {PLAIN_PATH: model}
    sample = np.random.default_rng(0).choice(len(texts), min(len(texts), SAMPLE_TEXTS), replace=False)
    chosen = [texts[i] for i in np.sort(sample)]
    measured = measure({name: candidates[name] for name in names}, chosen)
    best = measured[0]
    for one in measured:
        log.info(
            "path %s: %.1f texts a second, cosine to float32 %.5f on average, %.5f at least: %s",
            one.path, one.texts_per_second, one.cosine_mean, one.cosine_worst,
            "eligible" if one.eligible else "not eligible",
        )  # fmt: skip
        if one.eligible and one.texts_per_second > WORTHWHILE * best.texts_per_second:
            best = one
    log.info("path %s chosen for all vectors of this model here", best.path)
    record = {
        "path": best.path,
        "why": f"fastest with a cosine to float32 of {FIDELITY_MEAN} on average, {FIDELITY_WORST} at least",
        "device": device,
        "texts": len(chosen),
        "measured": [asdict(one) for one in measured],
    }
    return candidates[best.path], record


def measure(candidates: dict[str, SentenceTransformer], texts: list[str]) -> list[Measured]:
    """Time paths side by side on `texts`, and compare their vectors with the first one's, which is float32."""
    first = next(iter(candidates.values()))
    tokens = Tokens(first, texts)
    budget = TOKEN_BUDGET.get(first.device.type, TOKEN_BUDGET["cpu"])
    batches = [batch for chunk in plan(tokens.lengths, texts, budget, CHUNK_TEXTS) for batch in chunk]
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    vectors = {}
    for _ in range(1 + ROUNDS):
        for name, model in candidates.items():
            began = time.perf_counter()
            vectors[name] = vectors_of(model, tokens, batches)
            seconds[name].append(time.perf_counter() - began)
    exact = vectors[next(iter(candidates))]
    found = []
    for name, own in vectors.items():
        cosine = (own * exact).sum(1) / (np.linalg.norm(own, axis=1) * np.linalg.norm(exact, axis=1))
        mean, worst = float(cosine.mean()), float(cosine.min())
        rate = len(texts) / statistics.median(seconds[name][1:])
        eligible = bool(mean >= FIDELITY_MEAN and worst >= FIDELITY_WORST)
        found.append(Measured(name, round(rate, 1), round(mean, 6), round(worst, 6), eligible))
    return found
