"""Vectors by content hash: the packaged model for real, and the store by itself."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ml.text_encoder import encode, models, paths, store
from ml.text_encoder.embed_items import embed_items
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, build_features, item, text_hash
from tests.ml.tiny_models import WORDS, bert

DAY = AS_OF.isoformat()


def args_of(lake, model=models.PACKAGED):
    return argparse.Namespace(lake=lake, as_of=DAY, run_id="test", model=model, for_training=False)


def test_only_new_texts_are_encoded(tmp_path):
    rows = [item("a", item_text="green tea"), item("b", item_text="black tea"), item("c", item_text="green tea")]
    lake = build_features(tmp_path, item_features=rows)
    first = embed_items(args_of(lake))
    assert (first["texts_encoded"], first["texts_known"]) == (2, 0)

    build_features(tmp_path, item_features=[*rows, item("d", item_text="winter jacket 冬季外套")])
    second = embed_items(args_of(lake))
    assert (second["texts_encoded"], second["texts_known"]) == (1, 2)
    assert second["model_version"] == first["model_version"] == store.chosen_version(lake, DAY)

    texts = ["green tea", "black tea", "winter jacket 冬季外套"]
    vectors = store.read(lake, first["model_version"], np.array([text_hash(text) for text in texts]))
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-3)
    tea, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert tea > other + 0.2


def test_nothing_to_do_does_not_load_torch(tmp_path):
    lake = build_features(tmp_path, item_features=[item("a")])
    version = models.version_of(models.PACKAGED, models.locate(models.PACKAGED))
    store.append(lake, version, [text_hash("text of a")], np.ones((1, 4), dtype=np.float32))
    code = (
        "import sys; from ml.text_encoder.embed_items import main;"
        f"main(['--lake', {str(lake)!r}, '--as-of', {DAY!r}]);"
        "sys.exit(7 if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


KILLED = """
import argparse, sys, time
from pathlib import Path
from ml.text_encoder import encode, paths, store
from ml.text_encoder.embed_items import embed_items

encode.CHUNK_TEXTS = paths.MANY_TEXTS = 40
append = store.append
def then_wait(*args):
    append(*args)
    print("part", flush=True)
    time.sleep(600)
store.append = then_wait
lake, model = Path(sys.argv[1]), sys.argv[2]
embed_items(argparse.Namespace(lake=lake, as_of="2026-10-31", run_id="test", model=model, for_training=False))
"""


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    model = bert(tmp_path / "bert")
    texts = [f"{text} {n}" for n in range(20) for text in WORDS]
    items = [item(f"i{n}", item_text=text) for n, text in enumerate(texts)]
    whole, broken = (build_features(tmp_path / name, item_features=items) for name in ("whole", "broken"))
    command = [sys.executable, "-c", KILLED, str(broken), str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as killed:
        assert killed.stdout.readline() == "part\n"
        os.kill(killed.pid, signal.SIGKILL)
    version = next(broken.rglob("plan.txt")).parent
    assert len(list(version.glob("part-*"))) == 1

    # The path hangs on the clock: the undisturbed run is given what the killed one chose.
    base = models.version_of(str(model), model)
    store.write_path(whole, base, store.read_path(broken, base))
    monkeypatch.setattr(encode, "CHUNK_TEXTS", 40)
    embed_items(args_of(whole, str(model)))
    build_features(broken, item_features=[*items, item("new", item_text="new in between")])
    done = embed_items(args_of(broken, str(model)))
    assert 0 < done["texts_known"] < len(set(texts))
    assert done["texts_known"] + done["texts_encoded"] == len(set(texts)) + 1

    expected, found = ({p.name: p.read_bytes() for p in lake.rglob("part-*")} for lake in (whole, broken))
    assert len(expected) > 3
    assert {name: found[name] for name in expected} == expected
    assert not list(broken.rglob("plan.txt"))
    assert text_hash("new in between") in store.known_hashes(broken, done["model_version"])


def test_many_texts_have_the_path_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MANY_TEXTS", 20)
    model = bert(tmp_path / "bert")
    few = [item(f"i{n}", item_text=f"few {n}") for n in range(5)]
    lake = build_features(tmp_path / "lake", item_features=few)
    first = embed_items(args_of(lake, str(model)))
    base = models.version_of(str(model), model)
    assert (first["path"], first["model_version"]) == ("float32", base)

    fast = paths.paths_on("cpu")[-1]
    monkeypatch.setattr(paths, "WORTHWHILE", 0.0)  # the last one is taken, whatever the clock says
    many = few + [item(f"m{n}", item_text=f"{WORDS[n % 5]} {n}") for n in range(30)]
    build_features(lake, item_features=many)
    second = embed_items(args_of(lake, str(model)))
    assert (second["path"], second["model_version"]) == (fast, models.with_path(base, fast))
    of_few = {text_hash(f"few {n}") for n in range(5)}
    if fast == paths.PLAIN_PATH:  # a processor that computes nothing else fast: there is nothing to mix
        assert (second["texts_encoded"], second["texts_known"]) == (30, 5)
        assert store.known_hashes(lake, base) > of_few
    else:
        assert (second["texts_encoded"], second["texts_known"]) == (35, 0)  # the few too: paths do not mix
        assert store.known_hashes(lake, base) == of_few  # yesterday's stay

    monkeypatch.setattr(paths, "choose", lambda *_: pytest.fail("measured again"))
    build_features(lake, item_features=[*many, item("late", item_text="late")])
    third = embed_items(args_of(lake, str(model)))
    assert (third["path"], third["texts_encoded"], third["texts_known"]) == (fast, 1, 35)


def test_a_path_that_this_machine_has_not_is_chosen_anew(tmp_path):
    model = bert(tmp_path / "bert")
    lake = build_features(tmp_path / "lake", item_features=[item("a")])
    base = models.version_of(str(model), model)
    store.write_path(lake, base, {"path": "of another machine", "measured": [{}]})
    done = embed_items(args_of(lake, str(model)))
    assert (done["path"], done["model_version"], done["texts_encoded"]) == ("float32", base, 1)


def test_an_unknown_model_is_an_error_that_names_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lake = build_features(tmp_path, item_features=[item("a")])
    with pytest.raises(StepError, match="no-such-model") as error:
        embed_items(args_of(lake, "nobody/no-such-model"))
    assert models.PACKAGED in error.value.remedy


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StepError, match="holds no sentence-transformers model"):
        models.version_of("empty", models.locate(str(tmp_path / "empty")))


def test_the_version_changes_with_the_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = models.version_of("my/model", tmp_path)
    assert models.version_of("my/model", tmp_path) == before
    assert before.startswith("model-")
    (tmp_path / "README.md").write_text("words about it")
    assert models.version_of("my/model", tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert models.version_of("my/model", tmp_path) != before


def test_versions_do_not_mix(tmp_path):
    store.append(tmp_path, "one", ["h"], np.array([[1, 0]], dtype=np.float32))
    store.append(tmp_path, "two", ["h"], np.array([[0, 1, 0]], dtype=np.float32))
    assert store.known_hashes(tmp_path, "one") == {"h"}
    assert store.read(tmp_path, "one", np.array(["h", "h"])).tolist() == [[1, 0], [1, 0]]
    assert store.read(tmp_path, "two", np.array(["h"])).tolist() == [[0, 1, 0]]


def test_a_missing_vector_is_an_error(tmp_path):
    store.append(tmp_path, "one", ["h"], np.array([[1, 0]], dtype=np.float32))
    with pytest.raises(StepError, match="1 item texts have no vector"):
        store.read(tmp_path, "one", np.array(["h", "other"]))


def test_a_day_without_vectors_is_an_error(tmp_path):
    with pytest.raises(StepError, match="no item vectors were made for 2026-10-31"):
        store.chosen_version(tmp_path, DAY)
