"""Training and promotion on a small lively shop: what is left in the lake, in MLflow, and for the daily run."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from expectations.tables import (
    encoder_training_dir,
    features_db,
    outputs_dir,
    recommender_training_dir,
    recommenders_dir,
)
from ml.explain.checker import check_reasons
from ml.recommender import promote_recommender, train_recommender
from ml.recommender.champion import champion, load_model
from ml.recommender.evaluate_home import evaluate_home
from ml.recommender.recommend_home import recommend_home
from ml.recommender.train_model import Training
from ml.text_encoder import embed_items, models
from ml.text_encoder.fine_tuning import promote_encoder, train_encoder
from ml.text_encoder.fine_tuning.registry import encoders
from ml.text_encoder.fine_tuning.settings import defaults_of
from qianmian.step import StepError, write_atomically

from .conftest import AS_OF, action, give_vectors, item, lively_shop, step_args, user

DAY = AS_OF.isoformat()


def args_of(lake: Path, *, seed: int = 0) -> argparse.Namespace:
    return argparse.Namespace(
        **vars(step_args(lake)),
        shop="tiny",
        mlflow_home=lake.parent / "mlflow",
        seed=seed,
        device="cpu",
        time_budget=None,
    )


@pytest.fixture
def shop() -> dict[str, Any]:
    tables = lively_shop(users=300, items=60, days=100)
    tables["later_purchases"] = []
    for row in (*tables["user_features"], *tables["user_actions"]):
        if row["user_id"] == "u007":
            row["user_id"] = "buys-every-week"
    tables["user_features"].append(user("one-click", "newcomers"))
    tables["user_actions"].append(action("one-click", "i012", "view", days_ago=0.5))
    return tables


@pytest.fixture(autouse=True)
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of a small model: what is tested is what becomes of it."""
    from ml.recommender.sequence_model import SequenceSettings

    small = SequenceSettings(dimensions=16, heads=2, length=12, epochs=2, negatives=50)

    def training(*args: Any, **kwargs: Any) -> Training:
        return Training(*args, **{"sequence": small, **kwargs})

    monkeypatch.setattr(train_recommender, "Training", training)


def test_from_training_to_the_published_lists(lake_of: Callable[..., Path], shop: dict[str, Any]) -> None:
    lake = lake_of(**shop)
    args = args_of(lake)
    args.time_budget = 3600.0  # more than enough for a small shop's two epochs
    trained = train_recommender.train_recommender(args)
    assert trained["has_sequence_model"]
    assert trained["epochs"] == 2
    again = train_recommender.train_recommender(args)
    assert (again["version"], again["note"]) == (
        trained["version"],
        "trained before on the same data: nothing to do",
    )
    # Nothing is left of the training but the model and its name.
    assert [path.name for path in recommender_training_dir(lake, DAY).iterdir()] == [train_recommender.CHALLENGER]

    decided = promote_recommender.promote_recommender(args)
    record = json.loads((recommenders_dir(lake) / "decisions" / f"{DAY}.json").read_text())
    assert {figure["model"] for figure in record["figures"]} == {
        trained["version"], "blend-1", "popularity", "item_to_item",
    }  # fmt: skip
    assert {"all", "heavy", "head_items", "tail_items"} <= {figure["segment"] for figure in record["figures"]}
    assert (record["measured_from"], record["measured_to"]) == ("2026-10-25", "2026-10-31")
    by_model = {
        f["model"]: f["value"]
        for f in record["figures"]
        if (f["segment"], f["metric"], f["k"]) == ("all", "ndcg", 20)
    }
    # Models, checkpoints and what MLflow keeps know nobody by name: there is nothing in them to forget.
    files = [path for folder in (lake, args.mlflow_home) for path in folder.rglob("*") if path.is_file()]
    assert args.mlflow_home / "mlflow.db" in files
    named = [path.name for path in files if re.search(b"one-click|buys-every-week", path.read_bytes())]
    assert named == [features_db(lake).name]

    best = champion(lake, DAY)
    assert decided["promoted"] == (best is not None)
    if best is None:
        assert "kept because" in decided["why"]
        assert champion(lake, "2027-01-01") is None
        best = train_recommender.find_version(lake, trained["version"])
        promote_recommender.promote(lake, DAY, best.name)
    else:
        assert by_model[best.name] > max(value for name, value in by_model.items() if name != best.name)
    assert champion(lake, "2026-10-30") is None

    report = recommend_home(args)
    assert report["model_version"] == f"{best.name}+test-1"
    rows = pq.read_table(outputs_dir(lake, DAY) / "home_recommendations.parquet").to_pylist()
    assert len({row["user_id"] for row in rows}) == 302
    for row in rows:
        assert 0 < row["contribution"] <= row["score"] + 1e-9
        if row["evidence_type"] == "item":
            assert row["evidence_id"] in {r["item_id"] for r in shop["item_features"]}
    cold = [row for row in rows if row["user_id"] == "cold"]
    assert len(cold) == 20
    assert {row["evidence_type"] for row in cold} == {"segment"}
    one_click = [row for row in rows if row["user_id"] == "one-click"]
    assert [row["item_id"] for row in one_click] != [row["item_id"] for row in cold]
    assert "i012" in {row["evidence_id"] for row in one_click}
    for user_id in {row["user_id"] for row in rows}:
        scores = [row["score"] for row in rows if row["user_id"] == user_id]
        assert scores[0] == max(scores)
    told = pq.read_table(outputs_dir(lake, DAY) / "recommendation_explanations.parquet").to_pylist()
    parts: dict[str, float] = Counter()
    for row in told:
        if row["kind"] == "part":
            assert row["scale"] == "log_score"
            parts[row["recommendation_id"]] += row["contribution"]
    assert {row["recommendation_id"]: np.log(row["score"]) for row in rows} == pytest.approx(dict(parts), abs=1e-5)
    assert check_reasons(args)["reasons"] == len(rows)

    measured = evaluate_home(args)
    assert measured["protocol"] == "held_out"
    metrics = pq.read_table(outputs_dir(lake, DAY) / "model_metrics.parquet").to_pylist()
    assert {(row["protocol"], row["model"]) for row in metrics} == {
        ("held_out", "learned"), ("promotion", "blend-1"), ("promotion", "item_to_item"), ("promotion", best.name),
        ("neighbours", "test-1"),
    }  # fmt: skip


def test_a_last_week_without_a_buyer_measures_nothing_and_stops_nothing(lake_of: Callable[..., Path]) -> None:
    """The shop was closed: the champion has nobody to be measured on, the challenger keeps its place."""
    shop = {**lively_shop(users=60, days=60), "later_purchases": []}
    closed = [
        row
        for row in shop["user_actions"]
        if row["event_type"] == "view" or row["event_date"] < date(2026, 10, 25)
    ]
    args = args_of(lake_of(**{**shop, "user_actions": closed}))
    trained = train_recommender.train_recommender(args)
    decided = promote_recommender.promote_recommender(args)
    assert decided["promoted"] is False
    assert "0 users bought in the measured days" in decided["why"]
    promote_recommender.promote(args.lake, DAY, trained["version"])
    recommend_home(args)
    assert "nothing to measure" in evaluate_home(args)["note"]


def test_the_same_data_make_the_same_version_and_an_interruption_changes_nothing(
    lake_of: Callable[..., Path], shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_of(**shop)
    whole = train_recommender.train_recommender(args_of(lake))["version"]
    (recommender_training_dir(lake, DAY) / train_recommender.CHALLENGER).unlink()

    def torn(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_recommender, "save_version", torn)
        with pytest.raises(KeyboardInterrupt):
            train_recommender.train_recommender(args_of(lake))
    [state] = recommender_training_dir(lake, DAY).iterdir()
    assert {path.name for path in state.iterdir()} == {"first.pt", "final.pt", "mlflow_run_id"}
    resumed = train_recommender.train_recommender(args_of(lake))
    assert resumed["version"] == whole
    assert train_recommender.train_recommender(args_of(lake, seed=1))["version"] != whole


def test_a_budget_of_time_cuts_the_epochs_and_an_interruption_does_not_change_that(
    lake_of: Callable[..., Path], shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    args = args_of(lake_of(**shop))
    args.time_budget = 1000.0

    def torn(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_recommender, "seconds_an_epoch", lambda *_: 400.0)
        patched.setattr(train_recommender, "save_version", torn)
        with pytest.raises(KeyboardInterrupt):
            train_recommender.train_recommender(args)
    monkeypatch.setattr(train_recommender, "seconds_an_epoch", lambda *_: 1.0)
    assert train_recommender.train_recommender(args)["epochs"] == 1


def test_a_new_item_is_served_through_its_text(lake_of: Callable[..., Path], shop: dict[str, Any]) -> None:
    lake = lake_of(**shop)
    args = args_of(lake)
    model = load_model(train_recommender.find_version(lake, train_recommender.train_recommender(args)["version"]))
    assert model.sequence is not None
    ids = np.array([*model.item_ids, "zzz-new"], dtype=object)
    text = np.concatenate([model.sequence.text.numpy(), model.sequence.text.numpy()[:1]])
    text = np.random.default_rng(0).normal(size=text.shape).astype(np.float32)
    over = model.sequence_on(ids, text)
    assert over is not None
    assert not over.is_known[-1]
    assert bool(over.is_known[0])


def test_training_is_for_the_day_that_the_features_are_of(
    lake_of: Callable[..., Path], shop: dict[str, Any]
) -> None:
    """Whatever the claim says: a run of another day may have claimed the shop and built no features."""
    lake = lake_of(**shop)
    args = args_of(lake)
    train_recommender.train_recommender(args)
    encoder = encoders(lake).save(DAY, lambda folder: (folder / "x").touch(), base_model=models.PACKAGED)
    known = {"version": encoder.name}
    write_atomically(encoder_training_dir(lake, DAY) / train_recommender.CHALLENGER, json.dumps(known))
    embedding = argparse.Namespace(**vars(args), for_training=True, model=models.PACKAGED)
    steps: tuple[Callable[[], Any], ...] = (
        lambda: train_encoder.gather(lake, DAY, defaults_of("lora")),
        lambda: promote_encoder.promote_encoder(args),
        lambda: embed_items.embed_items(embedding),
        lambda: train_recommender.train_recommender(args),
        lambda: promote_recommender.promote_recommender(args),
    )
    for change, whose in (
        ("update features.intermediate.int_as_of set as_of_date = date '2026-10-30'", "2026-10-30"),
        ("drop table features.intermediate.int_as_of", "a day that they do not tell"),
    ):
        with duckdb.connect(str(features_db(lake))) as features:
            features.execute(change)
        for step in steps:
            with pytest.raises(StepError, match=f"features are those of {whose}; this training is for {DAY}"):
                step()


def test_a_build_that_broke_off_on_an_earlier_day_is_no_days_features(
    lake_of: Callable[..., Path], shop: dict[str, Any]
) -> None:
    shop["user_actions"].append(action("u000", "i001", "purchase", days_ago=-1))
    with pytest.raises(StepError, match=f"features are those of 2026-11-01; this training is for {DAY}"):
        train_recommender.train_recommender(args_of(lake_of(**shop)))


def test_a_shop_without_a_past_is_told_so(lake_of: Callable[..., Path]) -> None:
    items = [item("a"), item("b")]
    lake = lake_of(item_features=items, user_features=[], user_actions=[])
    give_vectors(lake, items)
    with pytest.raises(StepError, match="nothing to learn from"):
        train_recommender.train_recommender(args_of(lake))


def test_promotion_without_training_says_what_to_do(lake_of: Callable[..., Path], shop: dict[str, Any]) -> None:
    with pytest.raises(StepError, match="names no challenger"):
        promote_recommender.promote_recommender(args_of(lake_of(**shop)))
