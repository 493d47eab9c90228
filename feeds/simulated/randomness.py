"""Random numbers that depend on nothing but what they are for.

Each purpose has its own counter-based stream (Philox, Salmon et al. 2011), keyed by the shop's seed, the purpose
and, say, shard and day: no draw depends on what was drawn before it elsewhere. Within a stream numpy draws row
after row, so the first n rows are the same however many are asked for: a shop that has grown keeps its past.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Return the generator of one purpose, e.g. `stream(7, "sessions", shard, day)`."""
    name = "|".join(str(part) for part in (seed, purpose, *key))
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def pick(rng: np.random.Generator, probabilities: np.ndarray, n: int) -> np.ndarray:
    """Draw n category numbers; the first rows do not depend on n."""
    return np.searchsorted(np.cumsum(probabilities)[:-1], rng.random(n), side="right")
