"""Encode the texts of the catalogue's items that have no vector yet.

Reads features.item_features, writes the lake's embeddings/model=<version>/. Vectors are kept by the hash of
the text: only new texts cost time, and a killed run goes on where it was. Which model: see ml.text_encoder.chosen.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from ml.recommender.dataset import connect, require_features_of
from ml.text_encoder import chosen, models, store
from qianmian.step import run_step, step_parser

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)


def missing_texts(connection: duckdb.DuckDBPyConnection, known: set[str]) -> dict[str, str]:
    """Return hash -> text of the items whose text has no vector, each text once."""
    rows = connection.execute(
        "select distinct text_hash, item_text from features.features.item_features order by text_hash"
    ).fetchall()
    return {text_hash: text for text_hash, text in rows if text_hash not in known}


def encode_missing(lake: Path, name: str, folder: Path) -> tuple[str, dict[str, Any]]:
    """Encode what the catalogue has and the lake lacks in a model's vectors.

    The numeric path is chosen when the model first meets many texts, and kept: vectors of two paths stand under
    two versions. If it met few at first (no measuring, float32), those few are encoded again on the chosen one.

    Returns:
        The version of the vectors, and for the report: path, texts encoded and known, seconds of the encoding.

    """
    base = models.version_of(name, folder)
    record = store.read_path(lake, base)
    path = record.get("path", models.PLAIN_PATH)
    version = models.with_path(base, path)
    store.write_source(lake, version, name)
    known = store.known_hashes(lake, version)
    with connect(lake) as connection:
        catalogue = missing_texts(connection, set())
    missing = {text_hash: text for text_hash, text in catalogue.items() if text_hash not in known}
    report = {"path": path, "texts_encoded": len(missing), "texts_known": len(known), "seconds_encoding": 0.0}
    log.info("%s: %d texts to encode, %d known", version, len(missing), len(known))
    if not missing:
        return version, report
    from ml.text_encoder import paths

    model = models.load(folder)
    measured_before = bool(record.get("measured")) or len(known) >= paths.MANY_TEXTS
    if measured_before and path in paths.paths_on(model.device.type):
        model = paths.convert(model, path)
    else:
        model, record = paths.choose(model, list(missing.values()))
        store.write_path(lake, base, record)
        version = models.with_path(base, record["path"])
        store.write_source(lake, version, name)
        known = store.known_hashes(lake, version)
    began = time.monotonic()
    encoded = _encode_texts(lake, version, model, catalogue, known)
    seconds = round(time.monotonic() - began, 2)
    return version, {
        "path": record.get("path", path), "texts_encoded": encoded, "texts_known": len(known),
        "seconds_encoding": seconds,
    }  # fmt: skip


def _encode_texts(
    lake: Path, version: str, model: SentenceTransformer, catalogue: dict[str, str], known: set[str]
) -> int:
    """Finish what a killed run had set out to do, as it would have, then the rest; return how many texts."""
    from ml.text_encoder.encode import encode_chunks

    unfinished = [text_hash for text_hash in store.read_plan(lake, version) if text_hash in catalogue]
    set_out = known | set(unfinished)
    rest = [text_hash for text_hash in catalogue if text_hash not in set_out]
    encoded = 0
    for hashes in (unfinished, rest):
        if not hashes:
            continue
        store.write_plan(lake, version, hashes)
        texts = [catalogue[text_hash] for text_hash in hashes]
        done = [i for i, text_hash in enumerate(hashes) if text_hash in known]
        for chunk, vectors in encode_chunks(model, texts, known=done):
            store.append(lake, version, [hashes[i] for i in chunk], vectors)
            encoded += len(chunk)
    store.write_plan(lake, version, [])
    return encoded


def embed_items(args: argparse.Namespace) -> dict[str, Any]:
    """Bring the vectors up to date with the catalogue, and say how many texts that took.

    Raises:
        StepError: it is for a training of another day than the features'.

    """
    if args.for_training:
        with connect(args.lake) as connection:
            require_features_of(connection, args.as_of)
    choose = chosen.for_training if args.for_training else chosen.for_day
    model = choose(args.lake, args.as_of, args.model)
    if model.name != args.model:
        log.info("text model %s, for %s", model.name, "the training" if args.for_training else "the recommender")
    version, report = encode_missing(args.lake, model.name, model.folder)
    store.choose_version(args.lake, args.as_of, version, training=args.for_training)
    return {"model_version": version, "text_model": model.name, **report}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--model",
        default=models.PACKAGED,
        help="name or path of a sentence-transformers or transformers model (default: %(default)s)",
    )
    parser.add_argument(
        "--for-training", action="store_true", help="with the model that the next recommender is to be trained on"
    )
    # For training it writes nothing that the daily run reads, so it is a step of another name: neither waits.
    for_training = parser.parse_args(argv).for_training
    run_step("embed_for_training" if for_training else "embed_items", embed_items, parser, argv)


if __name__ == "__main__":
    main()
