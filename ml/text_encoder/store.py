"""Item vectors in the lake, by the hash of the text: a text is encoded once for each model, ever.

`embeddings/model=<version>/part-<hash>.parquet` holds (text_hash string, vector fixed_size_list<float32>).
A part is put in place whole, so what a killed run had finished stays.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import embeddings_dir, outputs_dir
from qianmian.step import StepError, write_atomically


def _parts(lake: Path, model_version: str) -> list[Path]:
    return sorted(embeddings_dir(lake, model_version).glob("part-*.parquet"))


def known_hashes(lake: Path, model_version: str) -> set[str]:
    """Return the hashes of the texts that have a vector."""
    found: set[str] = set()
    for part in _parts(lake, model_version):
        found.update(pq.read_table(part, columns=["text_hash"])["text_hash"].to_pylist())
    return found


def append(lake: Path, model_version: str, hashes: list[str], vectors: np.ndarray) -> None:
    """Add vectors (float32, texts x dimensions) as one part, named by its texts."""
    table = pa.table(
        {
            "text_hash": pa.array(hashes, pa.string()),
            "vector": pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel()), vectors.shape[1]
            ),
        }
    )
    content = io.BytesIO()
    pq.write_table(table, content, compression="zstd")
    name = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
    write_atomically(embeddings_dir(lake, model_version) / f"part-{name}.parquet", content.getvalue())


def _batches(lake: Path, model_version: str) -> Iterator[tuple[list[str], np.ndarray]]:
    for part in _parts(lake, model_version):
        table = pq.read_table(part)
        vectors = table["vector"].combine_chunks()
        yield table["text_hash"].to_pylist(), vectors.flatten().to_numpy().reshape(len(table), -1)


def read(lake: Path, model_version: str, hashes: np.ndarray) -> np.ndarray:
    """Return the vectors of `hashes`, texts x dimensions, float32.

    Raises:
        StepError: one of them has no vector.

    """
    rows: dict[str, list[int]] = {}
    for row, text_hash in enumerate(hashes):
        rows.setdefault(text_hash, []).append(row)
    vectors = np.zeros((len(hashes), 0), dtype=np.float32)
    for found, values in _batches(lake, model_version):
        if not vectors.shape[1]:
            vectors = np.zeros((len(hashes), values.shape[1]), dtype=np.float32)
        for text_hash, vector in zip(found, values, strict=True):
            for row in rows.pop(text_hash, ()):
                vectors[row] = vector
    if rows:
        raise StepError(
            f"{len(rows)} item texts have no vector of {model_version} in {embeddings_dir(lake, model_version)}.",
            "Run the embed step for this day first: python -m ml.text_encoder.embed_items",
        )
    return vectors


def _choice(lake: Path, as_of: str) -> Path:
    return outputs_dir(lake, as_of) / "text_model_version.txt"


def choose_version(lake: Path, as_of: str, model_version: str) -> None:
    """Note which model's vectors the day works with."""
    write_atomically(_choice(lake, as_of), model_version + "\n")


def chosen_version(lake: Path, as_of: str) -> str:
    """Return which model's vectors the day works with.

    Raises:
        StepError: the embed step did not run for the day.

    """
    path = _choice(lake, as_of)
    if not path.is_file():
        raise StepError(
            f"{path} is not there: no item vectors were made for {as_of}.",
            "Run the embed step for this day first: python -m ml.text_encoder.embed_items",
        )
    return path.read_text().strip()
