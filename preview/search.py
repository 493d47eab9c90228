"""From the shop's own user id to its pseudonym, where the key is at hand. The id is kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qianmian.step import StepError
from spark_jobs.pseudonyms import Pseudonyms, existing_key


def pseudonym_of(user_id: str, key_file: Path, environ: Mapping[str, str]) -> str | None:
    """Return the pseudonym of the shop's id of a user; None where no usable key is on this machine."""
    try:
        return Pseudonyms(existing_key(key_file, environ)).of(user_id)
    except (StepError, OSError):
        return None
