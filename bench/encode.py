"""Our encoding beside sentence-transformers' own `encode`, in one process, and what of the quality is kept.

Reads products.parquet (id, title, short_description) and judgments.parquet (query, docid, rating) of DATA_DIR. The
texts are a random draw of distinct "title short_description", cut in parts; every contender encodes each part in
turn, tokenising included, and the median of the parts' rates counts. Contenders: `encode` as the model loads it
(float32, batches of 32, its own longest length), the same cut at our MAX_TOKENS, and our loop on each numeric path
that the device has (on a GPU also `encode` in float16). CPU seconds are told too: on a busy machine they, not the
clock, say what the work costs. Cosines are to `encode` with the same cut.

NDCG@10 (gain 2^rating - 1, Järvelin & Kekäläinen 2002) ranks all products for each judged query; an unjudged one
counts as not relevant, and a second figure ranks the judged ones alone. `encode`'s is our float32 loop's with
the longest length the model loads with. Ends with one line of JSON.

    python -m bench.encode DATA_DIR [--texts N] [--parts N] [--model NAME] [--device cpu|cuda] [--threads N]
        [--no-ndcg] [--incremental]

--incremental encodes the texts as a shop's catalogue, then a catalogue with 1% other texts, with the daily step's
own code and path.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd

from expectations.tables import FEATURES, features_db
from ml.text_encoder import models

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CUT = f"encode, {models.MAX_TOKENS} tokens"
SIDE = 8192  # of the square matrices whose product is a GPU's ceiling
WARM_UP = 64
K = 10

Encode = Callable[[list[str]], np.ndarray]


def ours(model: SentenceTransformer, kind: models.Kind = "document") -> Encode:
    """Return our loop as a function."""
    from ml.text_encoder.encode import encode_chunks

    def encode(texts: list[str]) -> np.ndarray:
        chunks = list(encode_chunks(model, texts, kind=kind))
        vectors = np.zeros((len(texts), chunks[0][1].shape[1]), dtype=np.float32)
        for places, values in chunks:
            vectors[places] = values
        return vectors

    return encode


def theirs(model: SentenceTransformer) -> Encode:
    """Return sentence-transformers' own encode with its defaults."""

    def encode(texts: list[str]) -> np.ndarray:
        return model.encode_document(texts, normalize_embeddings=True, show_progress_bar=False).astype(np.float32)

    return encode


def contenders(folder: Path, device: str) -> tuple[dict[str, Encode], dict[str, SentenceTransformer]]:
    """Return all contenders by name, and our models by path."""
    from sentence_transformers import SentenceTransformer

    from ml.text_encoder import paths

    loaded = SentenceTransformer(str(folder), device=device, local_files_only=True).eval()
    cut = models.load(folder).to(device)
    found = {"encode": theirs(loaded), CUT: theirs(cut)}
    if device == "cuda":
        found["encode, float16"] = theirs(copy.deepcopy(loaded).half())
    by_path = {path: paths.convert(copy.deepcopy(cut), path) for path in paths.paths_on(device)}
    return found | {f"ours, {path}": ours(model) for path, model in by_path.items()}, by_path


def measure(
    found: dict[str, Encode], texts: list[str], parts: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Let contenders take turns on each part. Return figures by name, and vectors: texts x dimensions."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    work: dict[str, list[float]] = {name: [] for name in found}
    vectors: dict[str, list[np.ndarray]] = {name: [] for name in found}
    cuts = [texts[i::parts] for i in range(parts)]
    for encode in found.values():
        encode(texts[:WARM_UP])
    for number, part in enumerate(cuts):
        for name, encode in found.items():
            began, worked = time.perf_counter(), time.process_time()
            vectors[name].append(encode(part))
            seconds[name].append(time.perf_counter() - began)
            work[name].append(time.process_time() - worked)
            logging.info("part %d, %s: %.2f s, %.2f s of CPU", number + 1, name, seconds[name][-1], work[name][-1])

    def rate(spent: list[float]) -> float:
        return statistics.median(len(part) / one for part, one in zip(cuts, spent, strict=True))

    figures = {
        name: {
            "texts_per_second": round(rate(seconds[name]), 1),
            "texts_per_cpu_second": round(rate(work[name]), 1),
            "times_encode": round(rate(seconds[name]) / rate(seconds["encode"]), 2),
            "times_encode_by_cpu": round(rate(work[name]) / rate(work["encode"]), 2),
            "times_encode_same_length": round(rate(seconds[name]) / rate(seconds[CUT]), 2),
            "times_encode_same_length_by_cpu": round(rate(work[name]) / rate(work[CUT]), 2),
        }
        for name in found
    }
    whole = {}
    for name, pieces in vectors.items():
        whole[name] = np.zeros((len(texts), pieces[0].shape[1]), dtype=np.float32)
        for number, piece in enumerate(pieces):
            whole[name][number::parts] = piece
    return figures, whole


def add_fidelity(figures: dict[str, Any], vectors: dict[str, np.ndarray]) -> None:
    exact = vectors[CUT]
    for name, own in vectors.items():
        cosine = (own * exact).sum(1) / (np.linalg.norm(own, axis=1) * np.linalg.norm(exact, axis=1))
        figures[name] |= {
            "cosine_mean": round(float(cosine.mean()), 5),
            "cosine_min": round(float(cosine.min()), 5),
        }


def ndcg_at_k(scores: np.ndarray, ratings: np.ndarray, places: np.ndarray) -> float:
    """Return NDCG@10 of one query: the products of `places` by score, against the best order of all."""
    ranked = places[np.argsort(-scores[places], kind="stable")[:K]]
    discount = 1 / np.log2(np.arange(2, K + 2))
    gain = 2.0**ratings - 1
    best = np.sort(gain)[::-1][:K]
    ideal = float((best * discount[: len(best)]).sum())
    return float((gain[ranked] * discount[: len(ranked)]).sum()) / ideal if ideal > 0 else 0.0


def search_quality(products: np.ndarray, queries: np.ndarray, judged: pd.DataFrame) -> dict[str, float]:
    """Return NDCG@10 over all products and over the judged ones, averaged over queries with a relevant one.

    Args:
        products: products x dimensions.
        queries: queries x dimensions, in the order of the numbers in `judged`.
        judged: query (number), product (position), rating.

    """
    over_all, over_judged = [], []
    for number, rows in judged.groupby("query"):
        ratings = np.zeros(len(products))
        ratings[rows["product"].to_numpy()] = rows["rating"].to_numpy()
        if not ratings.any():
            continue
        scores = np.round(products @ queries[int(str(number))], models.DECIMALS)
        over_all.append(ndcg_at_k(scores, ratings, np.arange(len(products))))
        over_judged.append(ndcg_at_k(scores, ratings, np.sort(rows["product"].to_numpy())))
    return {"ndcg@10": round(float(np.mean(over_all)), 4), "ndcg@10_judged": round(float(np.mean(over_judged)), 4)}


def add_search(
    figures: dict[str, Any],
    by_path: dict[str, SentenceTransformer],
    own_length: int,
    folder: Path,
    known: dict[str, dict[str, np.ndarray]],
) -> None:
    """Rank all products by each of our paths, and by float32 without our cut, with the vectors that there are."""
    products, texts = read_products(folder)
    judgments = pd.read_parquet(folder / "judgments.parquet")
    names, numbers = np.unique(judgments["query"].to_numpy(dtype=str), return_inverse=True)
    position = {one: place for place, one in enumerate(products["id"])}
    judged = pd.DataFrame(
        {"query": numbers, "product": judgments["docid"].map(position), "rating": judgments["rating"]}
    )

    def all_of(encode: Encode, have: dict[str, np.ndarray]) -> np.ndarray:
        lacking = sorted(set(texts) - set(have))
        new = dict(zip(lacking, encode(lacking), strict=True)) if lacking else {}
        return np.stack([have[text] if text in have else new[text] for text in texts])

    for path, model in by_path.items():
        vectors = all_of(ours(model), known[path])
        quality = search_quality(vectors, ours(model, "query")(names.tolist()), judged)
        figures[f"ours, {path}"] |= quality
        logging.info("search, %s: %s", path, quality)
        if path == models.PLAIN_PATH and own_length > models.MAX_TOKENS:
            tokens = model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
            short = {t: v for t, v, n in zip(texts, vectors, tokens, strict=True) if len(n) <= models.MAX_TOKENS}
            model.max_seq_length = own_length
            uncut = all_of(ours(model), short)
            figures["encode"] |= search_quality(uncut, ours(model, "query")(names.tolist()), judged)
            model.max_seq_length = models.MAX_TOKENS


def read_products(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the products and their texts."""
    products = pd.read_parquet(folder / "products.parquet")
    return products, (products["title"].fillna("") + " " + products["short_description"].fillna("")).tolist()


def day_by_day(name: str, texts: list[str]) -> dict[str, Any]:
    """Encode a catalogue of all but 1% of the texts with the daily step's code, then the whole of it."""
    from ml.text_encoder.embed_items import encode_missing

    folder = models.locate(name)
    new = max(1, len(texts) // 100)
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        lake = Path(place)
        for day, number in (("full", len(texts) - new), ("day_with_1%_new", len(texts))):
            rows = pd.DataFrame({"text_hash": [f"{i:08d}" for i in range(number)], "item_text": texts[:number]})
            features_db(lake).unlink(missing_ok=True)
            with duckdb.connect(str(features_db(lake))) as connection:
                connection.register("rows", rows)
                connection.execute("create schema features.features")
                connection.execute("create table features.features.item_features as select * from rows")
                for other in set(FEATURES) - {"item_features"}:  # not read, but looked for
                    connection.execute(f"create table features.features.{other} (nothing int)")
            began = time.perf_counter()
            _, report = encode_missing(lake, name, folder)
            figures[day] = {**report, "seconds_with_loading": round(time.perf_counter() - began, 2)}
    figures["share"] = round(
        figures["day_with_1%_new"]["seconds_encoding"] / figures["full"]["seconds_encoding"], 4
    )
    return figures


def share_of_ceiling(model: SentenceTransformer, texts: list[str], texts_per_second: float) -> dict[str, float]:
    """Return a GPU's bfloat16 product of two squares in flop/s, and which share of it the encoding reaches.

    Counted are the products with weights and those of attention, of real tokens, not of padding.
    """
    import torch

    from ml.text_encoder.batches import Tokens

    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(8):
        torch.cuda.synchronize()
        began = time.perf_counter()
        left @ right
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    ceiling = 2 * SIDE**3 / min(seconds)
    network: Any = model[0].auto_model
    linear = sum(m.weight.numel() for m in network.modules() if isinstance(m, torch.nn.Linear))
    lengths = Tokens(model, texts).lengths.astype(np.float64)
    attention = 4 * network.config.num_hidden_layers * network.config.hidden_size * (lengths**2).mean()
    per_text = 2 * linear * lengths.mean() + attention
    return {"bf16_flop_per_second": ceiling, "share_of_ceiling": round(per_text * texts_per_second / ceiling, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--parts", type=int, default=5)
    parser.add_argument("--model", default=models.PACKAGED)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, help="of torch (default: as many as it takes)")
    parser.add_argument("--no-ndcg", dest="ndcg", action="store_false")
    parser.add_argument("--incremental", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    _, texts = read_products(args.data)
    distinct = sorted(set(texts))
    drawn = np.random.default_rng(0).permutation(len(distinct))[: args.texts]
    chosen = [distinct[i] for i in drawn]
    found, by_path = contenders(models.locate(args.model), device)
    plain = by_path[models.PLAIN_PATH]
    tokens = plain.tokenizer(chosen, truncation=True, max_length=models.MAX_TOKENS)["input_ids"]
    tokens_per_text = float(np.mean([len(one) for one in tokens]))
    figures, vectors = measure(found, chosen, args.parts)
    add_fidelity(figures, vectors)
    for one in figures.values():
        one["tokens_per_second"] = round(one["texts_per_second"] * tokens_per_text)
    if device == "cuda":
        best = f"ours, {list(by_path)[-1]}"
        figures[best] |= share_of_ceiling(plain, chosen, figures[best]["texts_per_second"])
    if args.ndcg:
        from sentence_transformers import SentenceTransformer

        own_length = SentenceTransformer(str(models.locate(args.model)), device="cpu").max_seq_length or 0
        known = {path: dict(zip(chosen, vectors[f"ours, {path}"], strict=True)) for path in by_path}
        add_search(figures, by_path, own_length, args.data, known)
    line = {
        "model": args.model, "texts": len(chosen), "tokens_per_text": round(tokens_per_text, 1), "device": device,
        "threads": torch.get_num_threads(), "figures": figures,
        "versions": {name: version(name) for name in ("torch", "transformers", "sentence-transformers")},
    }  # fmt: skip
    if args.incremental:
        line["incremental"] = day_by_day(args.model, chosen)
    for name, one in figures.items():
        print(f"{name:24}" + "  ".join(f"{key} {value}" for key, value in one.items()))
    print(json.dumps(line))


if __name__ == "__main__":
    main()
