"""The bench of the encoding: a small run with a made catalogue ends with all figures, and NDCG by hand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bench import encode
from ml.text_encoder import paths
from tests.ml.tiny_models import WORDS, bert


@pytest.fixture
def data(tmp_path):
    texts = [f"{text} {n}" for n in range(4) for text in WORDS]
    ids = [f"p{n}" for n in range(len(texts))]
    products = pd.DataFrame({"id": ids, "title": texts, "short_description": None})
    products.to_parquet(tmp_path / "products.parquet")
    judgments = pd.DataFrame({"query": "tea", "docid": ids[:6], "rating": [3, 1, 0, 0, 0, 2]})
    judgments.to_parquet(tmp_path / "judgments.parquet")
    return tmp_path


def test_the_last_line_has_all_figures(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(encode.models, "MAX_TOKENS", 16)  # so that our cut and the model's own length differ
    model = bert(tmp_path / "bert")
    words = f"encode {data} --texts 40 --parts 2 --device cpu --model {model} --threads 1 --incremental"
    monkeypatch.setattr("sys.argv", words.split())
    encode.main()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = line["figures"]
    assert set(figures) == {"encode", encode.CUT, *(f"ours, {path}" for path in paths.paths_on("cpu"))}
    assert figures["encode"]["times_encode"] == figures[encode.CUT]["times_encode_same_length"] == 1
    assert all(one["texts_per_second"] > 0 and one["tokens_per_second"] > 0 for one in figures.values())
    assert figures["ours, float32"]["cosine_min"] == pytest.approx(1, abs=1e-4)
    assert all(0 <= one["ndcg@10"] <= one["ndcg@10_judged"] <= 1 for n, one in figures.items() if n != encode.CUT)
    assert line["incremental"]["full"]["texts_encoded"] == 39
    assert line["incremental"]["day_with_1%_new"]["texts_encoded"] == 1


def test_ndcg_by_hand():
    products = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], dtype=np.float32)
    judged = pd.DataFrame({"query": [0, 0, 1], "product": [1, 2, 0], "rating": [1, 2, 0]})
    found = encode.search_quality(products, np.array([[1, 0], [0, 1]], dtype=np.float32), judged)
    ideal = 3 + 1 / np.log2(3)  # the second query has nothing relevant and does not count
    assert found["ndcg@10"] == pytest.approx((1 / np.log2(3) + 3 / np.log2(5)) / ideal, abs=1e-4)
    assert found["ndcg@10_judged"] == pytest.approx((1 + 3 / np.log2(3)) / ideal, abs=1e-4)


def test_parts_come_back_in_the_order_of_the_texts():
    texts = [str(n) for n in range(7)]

    def numbers(given):
        return np.array([[float(text)] for text in given], dtype=np.float32)

    _, vectors = encode.measure({"encode": numbers, encode.CUT: numbers}, texts, 3)
    assert vectors["encode"].ravel().tolist() == list(range(7))
