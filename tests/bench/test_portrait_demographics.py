"""The study of demographics finds what is there, and says no where nothing is."""

from __future__ import annotations

import json
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest

from bench import portrait_demographics as study
from expectations.tables import features_db, outputs_dir
from qianmian.step import StepError
from spark_jobs.pseudonyms import Pseudonyms

KEY = "a key that is long enough"
DAY = "2017-11-30"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "PENALTIES", (0.01, 0.1))
    monkeypatch.setattr(study, "RESAMPLES", 300)
    monkeypatch.setattr(study, "SEEDS", (0,))
    monkeypatch.setattr(study, "DEMOGRAPHICS", ("kids_count", "marital_status"))


def known(users: int = 240, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Households with children buy more often; who is married shows in nothing."""
    rng = np.random.default_rng(seed)
    kids = rng.integers(0, 2, users)
    table = pd.DataFrame(
        {
            "user_id": [f"u{n:03d}" for n in range(users)],
            "orders_30d": rng.poisson(2 + 6 * kids),
            "amount_spent_30d": np.where(rng.random(users) < 0.1, np.nan, rng.gamma(2.0, 10.0, users)),
            "segment": rng.choice(["loyal", "dormant"], users),
            "is_cold_start": rng.random(users) < 0.5,
            "registered_on": pd.NaT,
        }
    )
    demographics = pd.DataFrame(
        {
            "kids_count": np.where(kids > 0, "1", "0"),
            "marital_status": rng.choice(["Married", "Unmarried"], users),
        },
        index=pd.Index(table["user_id"], name="user_id"),
    )
    return table, demographics


def test_a_signal_is_found_and_noise_is_not() -> None:
    table, demographics = known()
    found = study.study({"features": study.readable(table, DAY)}, demographics)
    carried = {(one.demographic, one.metric): one.is_carried for one in found}
    assert carried == {
        ("kids_count", "accuracy"): True,
        ("kids_count", "balanced_accuracy"): True,
        ("marital_status", "accuracy"): False,
        ("marital_status", "balanced_accuracy"): False,
    }
    kids = next(one for one in found if one.demographic == "kids_count")
    assert kids.classifier > 0.85
    assert kids.low < kids.classifier < kids.high
    assert kids.gain == pytest.approx(kids.classifier - kids.largest_class, abs=2e-4)


def test_small_classes_and_unknown_answers_are_left_out() -> None:
    table, demographics = known(users=120)
    demographics["kids_count"] = np.where(np.arange(120) < 5, "3+", demographics["kids_count"])
    demographics.loc[demographics.index[100:], "kids_count"] = None
    found = study.study({"features": study.readable(table, DAY)}, demographics[["kids_count"]])
    assert {(one.households, one.left_out, one.classes) for one in found} == {(95, 5, 2)}


def test_balanced_accuracy_is_the_mean_recall() -> None:
    truth, right = np.array([0, 0, 0, 2]), np.array([1.0, 0.5, 0.0, 1.0])
    assert study.balanced_accuracy(truth, right) == pytest.approx((0.5 + 1) / 2)
    assert study.accuracy(truth, right) == 0.625


def test_traits_become_columns_and_rare_ones_do_not() -> None:
    rows = [
        *[(f"u{n}", "category_affinity", "tea", "0.7 of it", 0.7) for n in range(25)],
        *[(f"u{n}", "active_weekday", "all", "monday", None) for n in range(25)],
        ("u0", "category_affinity", "rare", "0.1 of it", 0.1),
    ]
    traits = pd.DataFrame(rows, columns=["user_id", "trait", "subject", "value", "strength"])
    found = study.traits_by_user(traits)
    assert set(found.columns) == {"user_id", "category_affinity:tea", "active_weekday:all (word)"}
    assert found.iloc[0].tolist() == ["u0", 0.7, "monday"]


def test_the_command_joins_by_pseudonym_and_ends_with_figures(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("QIANMIAN_PSEUDONYM_KEY", KEY)
    table, demographics = known(users=90)
    pseudonym = {user: Pseudonyms(KEY.encode()).of(user) for user in table["user_id"]}
    truth = demographics.reset_index(names="household_id")
    truth.to_parquet(tmp_path / "demographics.parquet")
    table["user_id"] = table["user_id"].map(pseudonym)
    lake = tmp_path / "journey" / "lake"
    outputs_dir(lake, DAY).mkdir(parents=True)
    with duckdb.connect(str(features_db(lake))) as connection:
        for statement in (
            "create schema features.features",
            "create schema features.intermediate",
            f"create table features.intermediate.int_as_of as select date '{DAY}' as as_of_date",
            "create table features.features.user_features as from given",
        ):
            connection.register("given", table)
            connection.execute(statement)
    traits = pd.DataFrame(
        {"user_id": table["user_id"], "trait": "price_level", "subject": "all", "value": "low", "strength": 0.2}
    )
    traits.to_parquet(outputs_dir(lake, DAY) / "user_traits.parquet")
    profiles = pd.DataFrame({"user_id": table["user_id"], "taste_segment": "t1", "portrait_text": "a loyal user"})
    profiles.to_parquet(outputs_dir(lake, DAY) / "user_profiles.parquet")
    command = ["x", str(tmp_path / "journey"), str(tmp_path / "demographics.parquet"), "--as-of", DAY]
    monkeypatch.setattr(sys, "argv", command)
    study.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["demographics"]
    assert len(figures) == len(study.DEMOGRAPHICS) * 3 * len(study.METRICS)
    assert {one["households"] for one in figures} == {90}
    monkeypatch.setattr(sys, "argv", [*command[:-1], "2017-12-01"])
    with pytest.raises(StepError, match=f"holds the features of {DAY}"):
        study.main()
