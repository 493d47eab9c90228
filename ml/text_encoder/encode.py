"""Texts to vectors, in chunks that are handed over as they are done."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ml.text_encoder.batches import Features, Tokens, plan
from ml.text_encoder.models import DECIMALS, Kind

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

CHUNK_TEXTS = 2048
#: Tokens of a batch. On a CPU its intermediate values have to stay in the caches; a GPU wants to be full.
TOKEN_BUDGET = {"cpu": 512, "cuda": 32_768}
#: glibc's numbers for mallopt, and how much freed memory may stay with the process.
TRIM_THRESHOLD, MMAP_THRESHOLD = (-1, 1 << 30), (-3, 32 << 20)


def encode_chunks(
    model: SentenceTransformer, texts: list[str], *, kind: Kind = "document", known: Collection[int] = ()
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Encode `texts`, equal ones once, those of like length together, and log the pace.

    A vector's last bits depend on the shape of its batch. Batches and chunks follow from `texts` as a set, so a
    run that is given the same texts and what it has already done makes the vectors that it would have made.

    Args:
        model: as `models.load` or `paths.convert` returns it.
        texts: to encode.
        kind: whether the model's prompt for documents or for queries goes before each.
        known: positions that need no vector. A chunk wholly of them is left out.

    Yields:
        Positions in `texts`, and their vectors: positions x dimensions, float32, of length 1.

    """
    started = time.monotonic()
    positions: dict[str, list[int]] = {}
    for position, text in enumerate(texts):
        positions.setdefault(text, []).append(position)
    distinct, places = list(positions), list(positions.values())
    tokens = Tokens(model, distinct, kind)
    log.info("%d texts, %d of them distinct, %d tokens, in %.1f s",
             len(texts), len(distinct), tokens.lengths.sum(), time.monotonic() - started)  # fmt: skip
    chunks = plan(tokens.lengths, distinct, TOKEN_BUDGET.get(model.device.type, TOKEN_BUDGET["cpu"]), CHUNK_TEXTS)
    has = set(known)
    chunks = [c for c in chunks if not all(p in has for batch in c for i in batch for p in places[i])]
    left = sum(int(tokens.lengths[batch].sum()) for chunk in chunks for batch in chunk)
    started, tokens_done, texts_done = time.monotonic(), 0, 0
    for chunk in chunks:
        found = vectors_of(model, tokens, chunk)
        members = np.concatenate(chunk)
        repeats = [len(places[i]) for i in members]
        yield [p for i in members for p in places[i]], np.repeat(found, repeats, axis=0)
        tokens_done += int(tokens.lengths[members].sum())
        texts_done += len(members)
        seconds = time.monotonic() - started
        log.info(
            "encoded %d texts, %.0f a second (%.0f tokens a second), %.0f s left",
            texts_done,
            texts_done / seconds,
            tokens_done / seconds,
            (left - tokens_done) * seconds / max(1, tokens_done),
        )


def vectors_of(model: SentenceTransformer, tokens: Tokens, batches: list[np.ndarray]) -> np.ndarray:
    """Return the vectors of `batches`' texts in their order: texts x dimensions, float32, of length 1, rounded.

    On a GPU a batch is padded while the one before is at work, copies to it come from pinned memory, and all
    vectors come back in one.
    """
    if model.device.type == "cpu":
        keep_freed_memory()
    found = []
    with torch.inference_mode():
        for places in batches:
            features = model(_moved(tokens.batch(places), model.device), task=tokens.how["task"])
            vectors = features["sentence_embedding"].float()
            if model.truncate_dim is not None:
                vectors = vectors[:, : model.truncate_dim]
            found.append(torch.nn.functional.normalize(vectors, dim=1))
        vectors = torch.cat(found).cpu().numpy()
    return np.round(vectors, DECIMALS)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Have malloc keep the memory of one batch for the next, in this process, where it is glibc's.

    As it comes it may give each layer's few megabytes back to the kernel and fetch them again, page by page: 700
    page faults a text, a quarter of the time in 8-bit integers.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in (TRIM_THRESHOLD, MMAP_THRESHOLD):
            mallopt(parameter, value)


def _moved(features: Features, device: torch.device) -> Features:
    if device.type != "cuda":
        return features
    return {
        name: value.pin_memory().to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
