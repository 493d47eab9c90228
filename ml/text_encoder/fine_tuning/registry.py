"""Fine-tuned encoders in the lake, and which of them is the champion."""

from __future__ import annotations

from pathlib import Path

from expectations.tables import encoders_dir
from ml.registry import Registry


def encoders(lake: Path) -> Registry:
    """Return the registry of a shop's encoders."""
    return Registry(
        encoders_dir(lake),
        "text encoder",
        "encoder",
        "The champion before it, or the base model, then serves; fine-tune anew: "
        "python -m ml.text_encoder.fine_tuning.train_encoder",
    )
