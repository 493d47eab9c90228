"""Our encoding loop beside sentence-transformers' own encode, by architecture, and its numeric paths."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from ml.text_encoder import encode, models, paths
from ml.text_encoder.batches import Tokens, plan
from ml.text_encoder.encode import encode_chunks
from ml.text_encoder.int8_linear import Int8Linear
from tests.ml.tiny_models import ARCHITECTURES, WORDS, qwen3

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
needs_int8 = pytest.mark.skipif("int8" not in paths.paths_on("cpu"), reason="needs a processor with VNNI")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: build(root / name) for name, build in ARCHITECTURES.items()}


@pytest.fixture(params=ARCHITECTURES)
def model(request, folders) -> SentenceTransformer:
    return models.load(folders[request.param]).to("cpu")


def encoded(model: SentenceTransformer, texts: list[str], **how) -> np.ndarray:
    chunks = list(encode_chunks(model, texts, **how))
    vectors = np.full((len(texts), chunks[0][1].shape[1]), np.nan, dtype=np.float32)
    for places, values in chunks:
        assert np.isnan(vectors[places]).all()
        vectors[places] = values
    return vectors


def own_encode(model: SentenceTransformer, texts: list[str], kind: models.Kind = "document") -> np.ndarray:
    how = {"document": model.encode_document, "query": model.encode_query}[kind]
    return how(texts, normalize_embeddings=True, batch_size=5)


@pytest.mark.parametrize("kind", ["document", "query"])
def test_the_same_vectors_as_the_models_own_encode(model, kind):
    expected = own_encode(model, WORDS, kind)
    assert np.linalg.norm(expected[0] - expected[1]) > 0.01  # random weights tell texts apart
    assert encoded(model, WORDS, kind=kind) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", ["xlm_r", "qwen3"])
def test_queries_and_documents_get_their_own_prompts(folders, name):
    model = models.load(folders[name]).to("cpu")
    as_query, as_document = encoded(model, WORDS[:3], kind="query"), encoded(model, WORDS[:3])
    assert (np.abs(as_query - as_document).max(axis=1) > 1e-3).all()


def test_a_plain_transformers_folder_gets_mean_pooling(folders):
    assert not (folders["bert"] / "modules.json").exists()
    assert models.load(folders["bert"])[1].pooling_mode == "mean"


def test_a_decoder_is_padded_on_the_left_and_pooled_from_the_last_token(folders):
    model = models.load(folders["qwen3"])
    features = Tokens(model, ["x", WORDS[3]]).batch(np.array([0, 1]))
    mask = features["attention_mask"].numpy()
    assert mask[:, -1].all()
    assert not mask[0, 0]
    assert (features["input_ids"][:, -1] == model.tokenizer.eos_token_id).all()


def test_a_chat_template_is_followed(tmp_path):
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    folder = qwen3(tmp_path / "chat", template)
    model = models.load(folder).to("cpu")
    assert encoded(model, WORDS) == pytest.approx(own_encode(model, WORDS), abs=2e-5)


def test_a_model_of_word_vectors_alone_works_too(folders):
    tokenizer = Tokenizer.from_file(str(folders["bert"] / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=16)], device="cpu")
    texts = [text for text in WORDS if text]
    assert encoded(model, texts) == pytest.approx(own_encode(model, texts), abs=2e-5)
    assert paths.choose(model, texts * 200)[1]["path"] == "float32"


def test_long_texts_are_cut_at_the_models_length(folders):
    model = models.load(folders["xlm_r"])
    assert Tokens(model, WORDS).lengths.max() == model.max_seq_length == 48
    assert models.load(folders["qwen3"]).max_seq_length <= models.MAX_TOKENS


def test_equal_texts_are_encoded_once(model, monkeypatch):
    seen = []
    inner = encode.vectors_of
    monkeypatch.setattr(encode, "vectors_of", lambda m, t, b: seen.extend(np.concatenate(b)) or inner(m, t, b))
    vectors = encoded(model, WORDS * 3)
    assert len(seen) == len(set(WORDS))
    assert (vectors[: len(WORDS)] == vectors[len(WORDS) : 2 * len(WORDS)]).all()


def test_batches_keep_to_the_budget_and_hold_every_text_once():
    lengths = np.random.default_rng(0).integers(1, 60, 300)
    texts = [f"{i:04d}" for i in range(300)]
    chunks = plan(lengths, texts, token_budget=200, chunk_texts=50)
    batches = [batch for chunk in chunks for batch in chunk]
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert max(len(batch) * lengths[batch].max() for batch in batches) <= 200
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()
    assert all(sum(map(len, chunk)) >= 50 for chunk in chunks[:-1])
    assert lengths[batches[0][0]] == lengths.max()


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own():
    chunks = plan(np.array([500, 3, 400]), ["a", "b", "c"], token_budget=100, chunk_texts=10)
    assert [batch.tolist() for batch in chunks[0]] == [[0], [2], [1]]


def test_the_order_of_the_texts_changes_no_bit(model, monkeypatch):
    monkeypatch.setattr(encode, "CHUNK_TEXTS", 4)
    texts = [f"{text} {n}" for n in range(6) for text in WORDS]
    shuffled = np.random.default_rng(0).permutation(len(texts))
    assert (encoded(model, [texts[i] for i in shuffled]) == encoded(model, texts)[shuffled]).all()


def test_known_chunks_are_left_out_and_the_others_keep_every_bit(model, monkeypatch):
    monkeypatch.setattr(encode, "CHUNK_TEXTS", 4)
    texts = [f"{text} {n}" for n in range(3) for text in WORDS]
    whole = list(encode_chunks(model, texts))
    known = [place for places, _ in whole[:2] for place in places]
    rest = list(encode_chunks(model, texts, known=known))
    assert [places for places, _ in rest] == [places for places, _ in whole[2:]]
    assert all((a == b).all() for (_, a), (_, b) in zip(rest, whole[2:], strict=True))


def test_nothing_to_encode(model):
    assert list(encode_chunks(model, [])) == []


def test_pace_and_time_left_are_logged(model, caplog):
    with caplog.at_level(logging.INFO):
        encoded(model, WORDS)
    assert f"{len(WORDS)} texts, {len(set(WORDS))} of them distinct" in caplog.text
    assert "a second" in caplog.messages[-1]
    assert "0 s left" in caplog.messages[-1]


@pytest.mark.parametrize("path", ["bfloat16", pytest.param("int8", marks=needs_int8)])
def test_paths_stay_close_to_float32(model, path):
    exact = encoded(model, WORDS)
    close = encoded(paths.convert(copy.deepcopy(model), path), WORDS)
    assert close.dtype == np.float32
    assert (exact != close).any()
    assert (exact * close).sum(1).min() > 0.99


def test_rotary_frequencies_stay_exact_in_bfloat16(folders):
    model = paths.convert(models.load(folders["qwen3"]), "bfloat16")
    assert next(model[0].auto_model.parameters()).dtype == torch.bfloat16
    assert all(b.dtype != torch.bfloat16 for b in model[0].auto_model.buffers())


@needs_int8
@pytest.mark.parametrize("bias", [True, False])
def test_int8_linear_is_within_its_step(bias):
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 40, bias=bias)
    values = torch.randn(3, 7, 96)
    with torch.inference_mode():
        expected, found = linear(values), Int8Linear(linear)(values)
        alone = Int8Linear(linear)(values[1, 2:3])
        nothing = Int8Linear(linear)(torch.zeros(1, 96))
    # Half a step of either factor, in each of 96 products whose errors are independent: four deviations.
    step = values.abs().amax() / 127 * linear.weight.abs().amax() * 96**0.5
    assert (expected - found).abs().max() < 4 * step
    assert torch.equal(alone[0], found[1, 2])  # a token's values depend on no other token
    assert torch.equal(nothing[0], linear.bias.detach() if bias else torch.zeros(40))


def test_few_texts_are_not_measured(model, caplog):
    with caplog.at_level(logging.INFO):
        same, record = paths.choose(model, WORDS)
    assert same is model
    assert (record["path"], record["measured"]) == ("float32", [])
    assert "not measured" in caplog.text


def test_the_choice_is_measured_told_and_within_the_limits(model, caplog):
    texts = [f"{text} {n}" for n in range(200) for text in WORDS]
    with caplog.at_level(logging.INFO):
        chosen, record = paths.choose(model, texts)
    assert [one["path"] for one in record["measured"]] == list(paths.paths_on("cpu"))
    assert record["measured"][0]["cosine_mean"] == pytest.approx(1)
    assert f"path {record['path']} chosen" in caplog.text
    taken = next(one for one in record["measured"] if one["path"] == record["path"])
    assert taken["eligible"]
    assert encoded(chosen, WORDS).shape == (len(WORDS), 32)


def test_a_path_that_loses_the_quality_is_never_taken(folders, monkeypatch):
    model = models.load(folders["bert"]).to("cpu")

    def spoil(module, path):
        with torch.no_grad():
            module[0].auto_model.embeddings.word_embeddings.weight.normal_()
        return module

    monkeypatch.setattr(paths, "convert", spoil)
    monkeypatch.setattr(paths, "paths_on", lambda device: ("float32", "bfloat16"))
    monkeypatch.setattr(paths, "WORTHWHILE", 0.0)  # so that speed alone would take the last one
    chosen, record = paths.choose(model, WORDS * 200)
    assert chosen is model
    assert [one["eligible"] for one in record["measured"]] == [True, False]


@on_gpu
@pytest.mark.parametrize("path", paths.paths_on("cuda"))
def test_a_gpu_makes_the_same_vectors(folders, path):
    for folder in folders.values():
        model = models.load(folder)
        expected = own_encode(copy.deepcopy(model).to("cpu"), WORDS)
        found = encoded(paths.convert(model.to("cuda"), path), WORDS)
        assert (expected * found).sum(1).min() > 0.99
