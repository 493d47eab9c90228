"""What fine-tuning can be told. The defaults were chosen on validation items only: see docs/experiments.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ml.recommender.settings import BlendSettings

Method = Literal["lora", "full"]
METHODS: tuple[Method, ...] = ("lora", "full")


def pair_settings() -> BlendSettings:
    """Return how pairs are counted: bought in one basket or in the next ones, less so what was only looked at."""
    return BlendSettings(
        strengths={"view": 0.3, "click": 0.3, "cart": 0.6, "favorite": 0.6, "rating": 1.0, "purchase": 1.0},
        same_step=1.0,
        step_decay=0.7,
        max_step_gap=5,
        backward=1.0,
        step_size_power=0.5,
        neighbours=300,
    )


@dataclass(frozen=True)
class FineTuning:
    """Every dial of the training."""

    method: Method = "lora"
    # LoRA (Hu et al., 2021): rank of the added matrices, and alpha / rank is their scale.
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    max_gradient: float = 1.0
    schedule: Literal["linear", "cosine"] = "linear"

    max_tokens: int = 64
    # Texts of one step; those of one pass through the model; and up to how many the passes are held in memory
    # until the loss is known (longer steps are encoded twice instead: memory is that of one pass).
    batch_texts: int = 256
    chunk_texts: int = 64
    held_texts: int = 512
    gradient_checkpointing: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    temperature: float = 0.1
    # 1: negatives count as if they were drawn at the rate at which they are chosen; 0: all alike.
    share_power: float = 1.0
    # How often a text is an anchor grows with its pairs to this power.
    anchor_power: float = 0.5
    # Share of a step's texts that are drawn as partners of the others.
    partner_share: float = 0.0
    # Texts of earlier steps that serve as negatives beside the step's own, with the vectors they had then.
    remembered: int = 65_536
    # Of these, for each anchor, only its nearest are held against it (0: all, which is exact and costs little).
    mined: int = 0
    # Not a negative: what the base model holds nearer to the anchor than this share of its nearest positive.
    margin: float | None = 0.95

    # Short: new items are found no better by more of it (docs/experiments.md). A small shop takes `least_steps`.
    epochs: float = 1.5
    least_steps: int = 60
    # Shares of what training changed that are tried in the end: what was never trained on may be found better a
    # part of the way (WiSE-FT, Wortsman et al., 2022, equation 1).
    shares: tuple[float, ...] = (1.0, 0.75, 0.5)
    evaluations: int = 10
    patience: int = 3
    # While training, at most so many users are asked, among so many items, by so much of what each had chosen.
    exam_users: int = 1_000
    exam_items: int = 10_000
    exam_history: int = 10

    pairs: BlendSettings = field(default_factory=pair_settings)


def defaults_of(method: str) -> FineTuning:
    """Return the settings of a method, lora or full: all weights together bear a far smaller rate.

    Raises:
        ValueError: there is no such method.

    """
    if method == "lora":
        return FineTuning()
    if method == "full":
        return FineTuning(method="full", learning_rate=2e-4)
    raise ValueError(f"{method!r} is not one of {', '.join(METHODS)}")
