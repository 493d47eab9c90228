"""Item vectors in the lake, by the hash of the text: a text is encoded once for each model, ever.

`embeddings/model=<version>/part-<hash>.parquet` holds (text_hash string, vector fixed_size_list<float32>).
A part is put in place whole, so what a killed run had finished stays. Beside the parts: `plan.txt` while a run is
at work (the hashes it set out to encode), `source.txt` (the name of the model), and, in the folder of a model's
bare version, `path.json` (how the model computes here).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expectations.tables import embeddings_dir, outputs_dir, recommender_training_dir
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


def read_plan(lake: Path, model_version: str) -> list[str]:
    """Return the hashes that a run which was killed had set out to encode, if there was one."""
    plan = embeddings_dir(lake, model_version) / "plan.txt"
    return plan.read_text().split() if plan.is_file() else []


def write_plan(lake: Path, model_version: str, hashes: list[str]) -> None:
    """Note what is to be encoded; nothing, when all of it is."""
    plan = embeddings_dir(lake, model_version) / "plan.txt"
    if hashes:
        write_atomically(plan, "\n".join(hashes) + "\n")
    else:
        plan.unlink(missing_ok=True)


def write_source(lake: Path, model_version: str, name: str) -> None:
    """Note which model makes these vectors, by the name that it was asked for with."""
    write_atomically(embeddings_dir(lake, model_version) / "source.txt", name + "\n")


def read_source(lake: Path, model_version: str) -> str | None:
    """Return the name of the model that made these vectors, None where none were made."""
    source = embeddings_dir(lake, model_version) / "source.txt"
    return source.read_text().strip() if source.is_file() else None


def read_path(lake: Path, base_version: str) -> dict[str, Any]:
    """Return which numeric path the model takes here, and what was measured; nothing before it was chosen."""
    record = embeddings_dir(lake, base_version) / "path.json"
    return dict(json.loads(record.read_text())) if record.is_file() else {}


def write_path(lake: Path, base_version: str, record: dict[str, Any]) -> None:
    """Note the numeric path (`path`) and its figures."""
    write_atomically(embeddings_dir(lake, base_version) / "path.json", json.dumps(record, indent=2) + "\n")


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


def _choice(lake: Path, as_of: str, training: bool) -> Path:
    folder = recommender_training_dir(lake, as_of) if training else outputs_dir(lake, as_of)
    return folder / "text_model_version.txt"


def choose_version(lake: Path, as_of: str, model_version: str, *, training: bool = False) -> None:
    """Note which model's vectors the day works with, or a training of that day."""
    write_atomically(_choice(lake, as_of, training), model_version + "\n")


def chosen_version(lake: Path, as_of: str, *, training: bool = False) -> str:
    """Return which model's vectors the day works with, or a training of that day (else those of the day).

    Raises:
        StepError: the embed step did not run for the day.

    """
    path = _choice(lake, as_of, training)
    if training and not path.is_file():
        path = _choice(lake, as_of, False)
    if not path.is_file():
        raise StepError(
            f"{path} is not there: no item vectors were made for {as_of}.",
            "Run the embed step for this day first: python -m ml.text_encoder.embed_items",
        )
    return path.read_text().strip()
