"""From the shop's own user id to its pseudonym, where the key is at hand. The id is kept nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qianmian.step import StepError
from spark_jobs.pseudonyms import KEY_VARIABLE, Pseudonyms, read_key


def pseudonym_of(user_id: str, key_file: Path, environ: Mapping[str, str]) -> str | None:
    """Return the pseudonym of the shop's id of a user; None where no usable key is on this machine.

    Reads the key and never makes one: `read_key` would where there is none.
    """
    if KEY_VARIABLE not in environ and not key_file.exists():
        return None
    try:
        return Pseudonyms(read_key(key_file)).of(user_id)
    except (StepError, OSError):
        return None
