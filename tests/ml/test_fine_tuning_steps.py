"""The steps on a small shop: from features to a champion encoder, and the ways in which the base model stays."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expectations.tables import encoder_training_dir, encoders_dir
from ml.recommender.dataset import connect, load_shop
from ml.recommender.promotion import Contest, Decision, Difference
from ml.recommender.train_recommender import CHALLENGER
from ml.text_encoder import chosen, models, store
from ml.text_encoder.embed_items import embed_items
from ml.text_encoder.fine_tuning import promote_encoder, train_encoder
from ml.text_encoder.fine_tuning.promote_encoder import strictly
from ml.text_encoder.fine_tuning.registry import encoders
from ml.text_encoder.fine_tuning.settings import FineTuning
from qianmian.step import StepError

from .conftest import AS_OF, action, build_features, item, lively_shop, step_args
from .tiny_encoder import build_tiny_encoder

DAY = AS_OF.isoformat()
N_ITEMS = 120


def text_of(number: int) -> str:
    """Neighbours on the users' way share a word now and then; which words follow one another, only buyers show."""
    half, place = divmod(number, N_ITEMS // 2)
    return f"half{half} shelf{half}{place // 4} item{number}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word for number in range(N_ITEMS) for word in text_of(number).split()}
    return build_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny", words)


@pytest.fixture
def lake(lake_of: Callable[..., Path]) -> Path:
    tables = lively_shop(users=300, items=N_ITEMS, days=140)
    tables["item_features"] = [
        item(row["item_id"], item_text=text_of(number), popularity=row["popularity"])
        for number, row in enumerate(tables["item_features"])
    ]
    return lake_of(**{**tables, "later_purchases": []})


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    small = FineTuning(
        method="full", learning_rate=3e-3, batch_texts=40, chunk_texts=20, epochs=10.0, least_steps=1,
        evaluations=3, precision="float32",
    )  # fmt: skip
    monkeypatch.setattr(train_encoder, "defaults_of", lambda method: replace(small, method=method))


def args_of(lake: Path, tiny: Path, **other: Any) -> argparse.Namespace:
    plain = {"shop": "tiny", "mlflow_home": lake.parent / "mlflow", "base_model": str(tiny), "method": "full",
             "seed": 0, "device": "cpu", "time_budget": None}  # fmt: skip
    return argparse.Namespace(**{**vars(step_args(lake)), **plain, **other})


def test_from_the_features_to_a_champion_whose_catalogue_is_encoded(lake: Path, tiny: Path) -> None:
    args = args_of(lake, tiny)
    trained = train_encoder.train_encoder(args)
    assert trained["version"].startswith(f"encoder-{DAY}-")
    assert [path.name for path in encoder_training_dir(lake, DAY).iterdir()] == [CHALLENGER]
    again = train_encoder.train_encoder(args)
    assert (again["version"], again["note"]) == (
        trained["version"],
        "trained before on the same data: nothing to do",
    )
    assert encoders(lake).champion(DAY) is None

    decided = promote_encoder.promote_encoder(args)
    assert decided["promoted"], decided["why"]
    best = encoders(lake).champion(DAY)
    assert best is not None
    assert best.name == trained["version"]
    folder = best.folder
    assert encoders(lake).champion("2026-10-30") is None
    record = json.loads((encoders_dir(lake) / "decisions" / f"{DAY}.json").read_text())
    value = {
        f["model"]: f["value"]
        for f in record["figures"]
        if (f["segment"], f["metric"], f["k"]) == ("all", "ndcg", 20)
    }
    assert value[trained["version"]] > value[models.version_of(str(tiny), tiny)]
    # The recommender's exam, the last 7 days, decides nothing here.
    assert (record["measured_from"], record["measured_to"]) == ("2026-10-18", "2026-10-24")
    [overall] = [d for d in record["differences"] if (d["segment"], d["metric"], d["k"]) == ("all", "ndcg", 20)]
    assert overall["low"] > 0
    card = (folder / "README.md").read_text()
    for told in (trained["version"], "2026-08-22", f"{value[trained['version']]:.4f}", decided["why"]):
        assert told in card

    # The daily step finds every text encoded, and the version leads back to the encoder.
    embedded = embed_items(args_of(lake, tiny, model=str(folder), for_training=False))
    assert (embedded["texts_encoded"], embedded["texts_known"]) == (0, N_ITEMS)
    assert embedded["model_version"] == record["text_version"] == store.chosen_version(lake, DAY)
    for version, model in ((record["text_version"], folder), (models.version_of(str(tiny), tiny), tiny)):
        made = chosen.made(lake, version)
        assert made is not None
        assert made.folder == model
    assert promote_encoder.promote_encoder(args)["why"] == "it is the champion already"

    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(StepError, match="not whole"):
        encoders(lake).champion(DAY)


def test_nothing_gained_keeps_the_base_model(lake: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = replace(train_encoder.defaults_of("full"), learning_rate=0.0)
    monkeypatch.setattr(train_encoder, "defaults_of", lambda _: idle)
    args = args_of(lake, tiny)
    trained = train_encoder.train_encoder(args)
    assert trained["version"] is None
    assert "the base model stays: nothing was gained (NDCG@20 of" in trained["why"]
    assert promote_encoder.promote_encoder(args) == {"promoted": False, "version": None, "why": trained["why"]}
    assert encoders(lake).champion(DAY) is None


def test_a_small_shop_keeps_the_base_model_and_says_by_how_much_it_is_too_small(
    lake_of: Callable[..., Path], tiny: Path
) -> None:
    rows = [item("a"), item("b")]
    lake = lake_of(item_features=rows, user_features=[], user_actions=[action("u", "a"), action("u", "b")])
    args = args_of(lake, tiny)
    assert train_encoder.train_encoder(args)["why"] == "the base model stays: 0 pairs of items, fewer than 1000"
    assert promote_encoder.promote_encoder(args)["promoted"] is False
    off = args_of(lake, tiny, method="off")
    assert train_encoder.train_encoder(off)["why"] == "the base model stays: fine-tuning is off"


def test_promotion_without_training_says_what_to_do(lake: Path, tiny: Path) -> None:
    with pytest.raises(StepError, match="names no challenger"):
        promote_encoder.promote_encoder(args_of(lake, tiny))


def test_the_week_that_decides_on_the_recommender_decides_nothing_on_the_encoder(
    lake_of: Callable[..., Path],
) -> None:
    tables = lively_shop(users=60, items=20, days=60)
    lake = lake_of(**tables)
    vectors = {"one": np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)}

    def held() -> tuple[tuple[date, date], Contest]:
        with connect(lake) as connection:
            shop = load_shop(connection, DAY)
        return promote_encoder.measured_days(shop), promote_encoder.contest(shop, vectors)

    days, before = held()
    assert days == (date(2026, 10, 18), date(2026, 10, 24))
    assert len(before.targets.users)
    bought_late = [
        a for a in tables["user_actions"] if a["event_date"] > days[1] and a["event_type"] == "purchase"
    ]
    assert bought_late
    swapped = [{**a, "item_id": "i000"} if a in bought_late else a for a in tables["user_actions"]]
    build_features(lake, **{**tables, "user_actions": swapped})
    again = held()[1]
    assert np.array_equal(again.targets.item, before.targets.item)
    assert np.array_equal(again.lists["one"], before.lists["one"])
    assert np.array_equal(again.is_head, before.is_head)


def test_a_champion_that_has_seen_the_measured_week_is_no_opponent(tmp_path: Path) -> None:
    registry = encoders(tmp_path)

    def opponent(trained_to: str) -> tuple[bool, str]:
        best = registry.save(DAY, lambda folder: (folder / "weights").touch(), trained_to=trained_to)
        registry.promote(DAY, best.name)
        found, note = promote_encoder.opponents(tmp_path, DAY, date(2026, 10, 18))
        return found is not None, note

    # It has seen the week after the one it was trained to as well.
    assert opponent("2026-10-10") == (True, "")
    seen, note = opponent("2026-10-11")
    assert not seen
    assert "has seen the measured days" in note


def test_a_gain_that_may_be_chance_does_not_change_the_encoder() -> None:
    def decision(low: float) -> Decision:
        found = [Difference("all", "ndcg", 20, 0.12, 0.1, 0.02, low, 0.05, 400)]
        return Decision(True, "promoted because ...", [], found)

    assert strictly(decision(0.001)).promoted
    kept = strictly(decision(-0.0001))
    assert not kept.promoted
    assert kept.why.startswith("kept because")


def test_the_same_files_are_the_same_version_and_a_torn_one_is_replaced(tmp_path: Path) -> None:
    registry = encoders(tmp_path)

    def write(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "weights").write_bytes(np.arange(4).tobytes())

    first = registry.save(DAY, write, pairs=3)
    assert registry.find(first.name).about["pairs"] == 3
    (first.folder / "part" / "weights").write_bytes(b"torn")
    with pytest.raises(StepError, match="not whole"):
        registry.find(first.name)
    assert registry.save(DAY, write, pairs=3).name == first.name
    assert [path.name for path in (registry.home / "versions").iterdir()] == [first.name]
    registry.promote("2026-10-01", first.name)
    assert registry.champion("2026-09-30") is None
    best = registry.champion(DAY)
    assert best is not None
    assert best.name == first.name
