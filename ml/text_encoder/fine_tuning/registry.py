"""Fine-tuned encoders in the lake, and which of them is the champion."""

from __future__ import annotations

import re
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


def champion_encoder(lake: Path, as_of: str) -> Path | None:
    """Return the folder of the champion of a day, a sentence-transformers model; None for the base model.

    Raises:
        StepError: it is not there, or not whole.

    """
    best = encoders(lake).champion(as_of)
    return None if best is None else best.folder


def encoder_of(lake: Path, text_version: str) -> Path | None:
    """Return the folder of the shop's own encoder that makes vectors of a version; None where it is none of them.

    Raises:
        StepError: it is there, but not whole.

    """
    registry = encoders(lake)
    # Vectors are named by their model's folder and a hash: see models.version_of.
    found = re.match(rf"({registry.prefix}-[0-9-]{{10}}-[0-9a-f]{{10}})-", text_version)
    if found is None or not (registry.home / "versions" / found[1]).is_dir():
        return None
    return registry.find(found[1]).folder
