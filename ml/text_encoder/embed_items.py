"""Encode the texts of the catalogue's items that have no vector yet.

Reads features.item_features, writes the lake's embeddings/model=<version>/. Vectors are kept by the hash of
the text: only new texts cost time, and a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

import duckdb

from ml.recommender.dataset import connect
from ml.text_encoder import models, store
from qianmian.step import run_step, step_parser

log = logging.getLogger(__name__)


def missing_texts(connection: duckdb.DuckDBPyConnection, known: set[str]) -> dict[str, str]:
    """Return hash -> text of the items whose text has no vector, each text once."""
    rows = connection.execute(
        "select distinct text_hash, item_text from features.features.item_features order by text_hash"
    ).fetchall()
    return {text_hash: text for text_hash, text in rows if text_hash not in known}


def embed_items(args: argparse.Namespace) -> dict[str, Any]:
    """Bring the vectors up to date with the catalogue, and say how many texts that took."""
    folder = models.locate(args.model)
    version = models.version_of(args.model, folder)
    known = store.known_hashes(args.lake, version)
    with connect(args.lake) as connection:
        missing = missing_texts(connection, known)
    log.info("%s: %d texts to encode, %d known", version, len(missing), len(known))
    if missing:
        from ml.text_encoder.encode import encode_chunks

        hashes, texts = list(missing), list(missing.values())
        for chunk, vectors in encode_chunks(models.load(folder), texts):
            store.append(args.lake, version, [hashes[i] for i in chunk], vectors)
    store.choose_version(args.lake, args.as_of, version)
    return {"model_version": version, "texts_encoded": len(missing), "texts_known": len(known)}


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    parser = step_parser(__doc__)
    parser.add_argument(
        "--model", default=models.PACKAGED, help="sentence-transformers name or path (default: %(default)s)"
    )
    run_step("embed_items", embed_items, parser, argv)


if __name__ == "__main__":
    main()
