"""AdamW, and how its rate rises and falls."""

from __future__ import annotations

import math

import torch

from ml.text_encoder.fine_tuning.encoder import TextEncoder
from ml.text_encoder.fine_tuning.settings import FineTuning


def rate_at(step: int, steps: int, settings: FineTuning) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, then linear or cosine decay to 0."""
    warmup = max(1, round(settings.warmup_share * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def optimiser_of(encoder: TextEncoder, settings: FineTuning) -> torch.optim.Optimizer:
    """Return AdamW over the trained weights; vectors (norms, biases) do not decay."""
    parameters = list(encoder.trained().values())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
