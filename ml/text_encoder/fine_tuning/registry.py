"""Fine-tuned encoders in the lake, and which of them is the champion."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

from expectations.tables import EVALUATION_DAYS, encoders_dir
from ml.registry import Registry, Saved


def encoders(lake: Path) -> Registry:
    """Return the registry of a shop's encoders."""
    return Registry(
        encoders_dir(lake),
        "text encoder",
        "encoder",
        "The champion before it, or the base model, then serves; fine-tune anew: "
        "python -m ml.text_encoder.fine_tuning.train_encoder",
    )


def unseen_from(encoder: Saved) -> date:
    """Return the first day of which an encoder has seen nothing: after the week that decided when to stop."""
    return date.fromisoformat(encoder.about["trained_to"]) + timedelta(days=EVALUATION_DAYS + 1)
