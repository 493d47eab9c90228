"""Which text model a day works with: vectors, recommender and lists have to fit together."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest

from ml.recommender.champion import promote, save_version
from ml.text_encoder import chosen, models, store
from ml.text_encoder.embed_items import embed_items
from ml.text_encoder.fine_tuning.registry import encoders
from tests.ml.conftest import AS_OF, build_features, item, text_hash
from tests.ml.tiny_encoder import build_tiny_encoder

DAY, NEXT_WEEK = AS_OF.isoformat(), "2026-11-07"
TEXTS = ("green tea", "black tea")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return build_tiny_encoder(tmp_path / "base", ["green", "black", "tea"])


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    return build_tiny_encoder(tmp_path / "other", ["green", "black", "tea"], seed=1)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return build_features(tmp_path / "lake", item_features=[item(text, item_text=text) for text in TEXTS])


def embed(lake: Path, model: Path, day: str = DAY, *, for_training: bool = False) -> str:
    args = argparse.Namespace(lake=lake, as_of=day, run_id="test", model=str(model), for_training=for_training)
    return str(embed_items(args)["model_version"])


def vectors(lake: Path, version: str) -> np.ndarray:
    return store.read(lake, version, np.array([text_hash(text) for text in TEXTS]))


def promote_encoder(lake: Path, base: Path, tuned: Path, day: str) -> str:
    """Make a champion encoder of the files of `tuned`, as if fine-tuned from `base`."""

    def write(folder: Path) -> None:
        shutil.copytree(tuned, folder, dirs_exist_ok=True)

    saved = encoders(lake).save(day, write, base_version=models.version_of(str(base), base))
    encoders(lake).promote(day, saved.name)
    return saved.name


def promote_recommender(lake: Path, text_version: str, day: str) -> None:
    def write(folder: Path) -> None:
        (folder / "model").write_text(text_version)

    version = save_version(lake, day, write, text_version, 0.0)
    promote(lake, day, version.name)


def test_a_promoted_encoder_serves_when_the_recommender_that_reads_it_does(
    lake: Path, base: Path, tuned: Path
) -> None:
    first = embed(lake, base)
    promote_recommender(lake, first, DAY)
    name = promote_encoder(lake, base, tuned, DAY)
    # The day goes on with what its recommender reads; the training takes the new one, beside it.
    assert embed(lake, base) == first == store.chosen_version(lake, DAY)
    trained_on = embed(lake, base, for_training=True)
    assert trained_on.startswith(name)
    assert store.chosen_version(lake, DAY, training=True) == trained_on
    assert store.chosen_version(lake, DAY) == first
    assert not np.allclose(vectors(lake, first), vectors(lake, trained_on))

    promote_recommender(lake, trained_on, NEXT_WEEK)
    assert embed(lake, base, NEXT_WEEK) == trained_on
    # A past day stays what it was.
    assert embed(lake, base, DAY) == first


def test_without_a_recommender_the_blend_reads_the_champion_encoder(lake: Path, base: Path, tuned: Path) -> None:
    assert chosen.for_day(lake, DAY, str(base)).name == str(base)
    name = promote_encoder(lake, base, tuned, DAY)
    assert chosen.for_day(lake, DAY, str(base)).name == name
    assert chosen.for_day(lake, "2026-10-30", str(base)).name == str(base)


def test_another_model_of_the_settings_waits_for_a_recommender_trained_on_it(
    lake: Path, base: Path, tuned: Path
) -> None:
    first = embed(lake, base)
    promote_recommender(lake, first, DAY)
    promote_encoder(lake, base, tuned, DAY)
    another = build_tiny_encoder(base.with_name("another"), ["tea"], seed=2)
    assert embed(lake, another) == first
    # What was fine-tuned from the old one is no start for the new one.
    assert embed(lake, another, for_training=True).startswith("another")


def test_where_its_text_model_is_gone_the_recommender_no_longer_decides(
    lake: Path, base: Path, tuned: Path
) -> None:
    first = embed(lake, base)
    promote_recommender(lake, first, DAY)
    (base / "model.safetensors").write_bytes(b"other weights")
    assert chosen.made(lake, first) is None
    assert chosen.for_day(lake, DAY, str(tuned)).name == str(tuned)
    assert chosen.made(lake, "never-made") is None
