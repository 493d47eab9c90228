"""Texts to vectors, in chunks that are handed over as they are done."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ml.text_encoder.models import DECIMALS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

CHUNK_TEXTS = 2048
BATCH_TEXTS = 64


def encode_chunks(model: SentenceTransformer, texts: list[str]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Encode `texts`, those of like length together, and log the pace.

    Yields:
        Positions in `texts`, and their vectors: positions x dimensions, float32, of length 1.

    """
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
    started = time.monotonic()
    for begin in range(0, len(order), CHUNK_TEXTS):
        chunk = order[begin : begin + CHUNK_TEXTS]
        vectors = model.encode(
            [texts[i] for i in chunk],
            batch_size=BATCH_TEXTS,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        yield chunk, np.round(vectors.astype(np.float32), DECIMALS)
        done = begin + len(chunk)
        pace = done / (time.monotonic() - started)
        log.info(
            "encoded %d of %d texts, %.0f a second, %.0f s left",
            done,
            len(order),
            pace,
            (len(order) - done) / pace,
        )
