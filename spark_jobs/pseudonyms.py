"""Pseudonyms of user ids: HMAC-SHA256 of the shop's id, hex, its first 32 characters.

The shop joins back by computing the same: the key is the text in the key file (or in the environment) as it
stands there, without surrounding blanks, in UTF-8; the id likewise.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from qianmian.step import StepError

KEY_VARIABLE = "QIANMIAN_PSEUDONYM_KEY"
SHORTEST_KEY = 16
_REMEMBERED = 200_000


class Pseudonyms:
    """Turns user ids into pseudonyms, with a bounded memory of those just asked for."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, str] = {}

    def of(self, user_id: str) -> str:
        """Return the pseudonym of the shop's id of a user."""
        known = self._known.get(user_id)
        if known is None:
            known = hmac.digest(self._key, user_id.encode("utf-8", "surrogatepass"), "sha256").hex()[:32]
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[user_id] = known
        return known

    def fingerprint(self) -> str:
        """Return what tells one key from another without telling the key."""
        return hmac.digest(self._key, b"fingerprint of the key of pseudonyms", "sha256").hex()[:16]


def read_key(key_file: Path) -> bytes:
    """Return the key: the environment's QIANMIAN_PSEUDONYM_KEY, else the file's; a file is made where none is.

    Raises StepError for a key that is too short to be one.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given is None and not key_file.exists():
        _create(key_file)
    text = (key_file.read_text() if given is None else given).strip()
    if len(text) < SHORTEST_KEY:
        raise StepError(
            f"The key of the pseudonyms ({key_file if given is None else KEY_VARIABLE}) has fewer than "
            f"{SHORTEST_KEY} characters.",
            "Give a random key, e.g. what `openssl rand -hex 32` prints, and keep it: with another key every "
            "user is somebody new.",
        )
    return text.encode()


def existing_key(key_file: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the key as `read_key` does, but never make one: for whoever looks a user up.

    Raises StepError where there is none: a new key would answer with ids that are nobody's.
    """
    if KEY_VARIABLE not in environ and not key_file.exists():
        raise StepError(
            f"There is no key of the pseudonyms at {key_file}.",
            f"Set QIANMIAN_HOME to the folder that the runs write to, or {KEY_VARIABLE} to the shop's key.",
        )
    return read_key(key_file)


def _create(key_file: Path) -> None:
    """Make a key that only its owner can read; it is there whole or not at all."""
    key_file.parent.mkdir(parents=True, exist_ok=True)
    aside = key_file.with_name(f".{key_file.name}.{os.getpid()}.tmp")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(key_file)
