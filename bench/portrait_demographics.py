"""What portraits carry of what nobody told them: demographics predicted from a day's features and traits.

    python -m bench.portrait_demographics var/completejourney data/completejourney/demographics.parquet \
        --as-of 2017-11-30

For the households of Complete Journey whose demographics are known. Each demographic is predicted by logistic
regression from user_features, from user_traits with user_profiles (where the portray step ran), and from both;
each is held against the largest class. Accuracy is that of a regression fitted for accuracy, balanced accuracy
(mean recall of the classes) that of one with balanced weights: one classifier cannot do both. Nested
cross-validation: 5 stratified folds for the figures, within each 3 for the penalty, thrice (seeds 0, 1, 2); a
household counts with its share of right answers.

Intervals are 95% percentile intervals of 10,000 bootstrap resamples (seed 0) of the households, classifier and
largest class on the same ones. "Carried" is said only where the gain's interval stays above 0 after Bonferroni's
correction for all comparisons made.

This is a study of what traits give away. It is used nowhere in the product: no demographic is ever inferred of a
user in production, and none enters a feed, a feature or a table. What is carried here is a warning, as whoever
reads the tables could infer as much.

Prints a line a demographic, set and metric. Last line: JSON.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from expectations.tables import features_db, outputs_dir
from qianmian.step import StepError
from spark_jobs.pseudonyms import Pseudonyms, read_key

DEMOGRAPHICS = (
    *("age", "income", "home_ownership", "marital_status"),
    *("household_size", "household_comp", "kids_count"),
)
#: Classes and words of fewer households than this are left out: nothing could be said of them.
FEWEST = 20
FOLDS, INNER_FOLDS = 5, 3
PENALTIES = (0.001, 0.01, 0.1, 1.0)  # inverse strength
SEEDS = (0, 1, 2)
RESAMPLES = 10_000
#: Words of the portrait that say the same as its columns.
NOT_READ = ("user_id", "portrait_text", "portrait_text_zh", "model_version")


def accuracy(truth: np.ndarray, right: np.ndarray) -> float:
    """Return the mean of `right`, each household's share of right answers."""
    return float(right.mean())


def balanced_accuracy(truth: np.ndarray, right: np.ndarray) -> float:
    """Return the mean over the classes present in `truth` of the mean of `right`."""
    total = np.bincount(truth)
    of_class = np.bincount(truth, right)
    return float((of_class[total > 0] / total[total > 0]).mean())


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
}


@dataclass(frozen=True)
class Found:
    """One figure: a demographic predicted from one set of columns."""

    demographic: str
    read: str
    metric: str
    households: int
    left_out: int
    classes: int
    largest_class: float
    classifier: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    is_carried: bool


def readable(table: pd.DataFrame, as_of: str) -> pd.DataFrame:
    """Return a table by user for the classifier: numbers as signed logs, days as days ago, words as words."""
    columns = {}
    for name in table.columns.difference(list(NOT_READ), sort=False):
        values = table[name]
        if pd.api.types.is_datetime64_any_dtype(values) or name.endswith("_on"):
            values = (pd.Timestamp(as_of) - pd.to_datetime(values)).dt.days
        if pd.api.types.is_numeric_dtype(values):
            number = values.to_numpy(dtype=float, na_value=np.nan)
            columns[name] = np.sign(number) * np.log1p(np.abs(number))
        else:
            columns[name] = values.astype(object).where(values.notna(), "none").astype(str).to_numpy()
    return pd.DataFrame(columns, index=pd.Index(table["user_id"], name="user_id"))


def traits_by_user(traits: pd.DataFrame) -> pd.DataFrame:
    """Return one row a user: each trait's strength by subject, and the word of those without a number."""
    names = traits["trait"] + ":" + traits["subject"]
    traits = traits.assign(name=names)[names.groupby(names).transform("size") >= FEWEST]
    has_strength = traits["strength"].notna()
    strengths = traits[has_strength].pivot(index="user_id", columns="name", values="strength")
    words = traits[~has_strength].pivot(index="user_id", columns="name", values="value").add_suffix(" (word)")
    return strengths.join(words, how="outer").reset_index()


def sets_of_columns(lake: Path, as_of: str) -> dict[str, pd.DataFrame]:
    """Return what may be read, by name: the features, and the traits where they were made.

    Raises:
        StepError: the features are missing or of another day.

    """
    path = features_db(lake)
    if not path.is_file():
        raise StepError(f"{path} is not there.", "Build the features first: dbt build --select tag:features.")
    with duckdb.connect(str(path), read_only=True) as connection:
        [(day,)] = connection.execute("select as_of_date from features.intermediate.int_as_of").fetchall()
        if str(day) != as_of:
            raise StepError(f"{path} holds the features of {day}, not of {as_of}.", f"Give --as-of {day}.")
        features = connection.execute("from features.features.user_features order by user_id").df()
    found = {"features": readable(features, as_of)}
    files = [outputs_dir(lake, as_of) / f"{name}.parquet" for name in ("user_traits", "user_profiles")]
    if all(file.is_file() for file in files):
        traits, profiles = (pd.read_parquet(file) for file in files)
        everything = profiles.merge(traits_by_user(traits), on="user_id", how="left")
        found["traits"] = readable(everything, as_of)
        found["both"] = found["features"].join(found["traits"].add_prefix("trait "), how="inner")
    return found


def classifier_for(table: pd.DataFrame, metric: str, seed: int) -> GridSearchCV:
    """Return the classifier, its penalty still to be found: numbers to one scale, words as indicators."""
    is_number = np.array([pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes])
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    words = OneHotEncoder(min_frequency=FEWEST, handle_unknown="infrequent_if_exist")
    columns = make_column_transformer((numbers, table.columns[is_number]), (words, table.columns[~is_number]))
    weights = "balanced" if metric == "balanced_accuracy" else None
    regression = LogisticRegression(class_weight=weights, max_iter=2_000)
    return GridSearchCV(
        Pipeline([("columns", columns), ("regression", regression)]),
        {"regression__C": list(PENALTIES)},
        scoring=metric,
        cv=StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed),
    )


def answers(table: pd.DataFrame, truth: np.ndarray, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each household's class was told right without having been seen.

    By the classifier and by the largest class of those at hand, as shares of the repeats.
    """
    right, largest = np.zeros(len(truth)), np.zeros(len(truth))
    for seed in SEEDS:
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(table, truth):
            classifier = classifier_for(table, metric, seed)
            with warnings.catch_warnings():
                # A weak penalty may not settle in time; it is then judged by the inner folds like any other.
                warnings.simplefilter("ignore", ConvergenceWarning)
                classifier.fit(table.iloc[train], truth[train])
            right[test] += classifier.predict(table.iloc[test]) == truth[test]
            largest[test] += np.bincount(truth[train]).argmax() == truth[test]
    return right / len(SEEDS), largest / len(SEEDS)


def compare(
    truth: np.ndarray, right: np.ndarray, largest: np.ndarray, metric: str, comparisons: int
) -> dict[str, float]:
    """Return the figures of the classifier and of the largest class.

    `beyond_chance` is the lower end of the gain's interval after Bonferroni's correction for `comparisons`.
    """
    rng = np.random.default_rng(0)
    of = METRICS[metric]
    draws = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(0, len(truth), len(truth))
        draws.append((of(truth[chosen], right[chosen]), of(truth[chosen], largest[chosen])))
    classifier, baseline = np.array(draws).T
    gain = classifier - baseline
    low, high = np.quantile(classifier, (0.025, 0.975))
    gain_low, gain_high = np.quantile(gain, (0.025, 0.975))
    value, base = of(truth, right), of(truth, largest)
    return {
        "largest_class": base,
        "classifier": value,
        "low": low,
        "high": high,
        "gain": value - base,
        "gain_low": gain_low,
        "gain_high": gain_high,
        "beyond_chance": np.quantile(gain, 0.025 / comparisons),
    }


def study(sets: dict[str, pd.DataFrame], known: pd.DataFrame) -> list[Found]:
    """Predict every demographic (columns of `known`, indexed by user_id) from every set of columns."""
    comparisons = len(sets) * len(known.columns) * len(METRICS)
    result = []
    for demographic in known.columns:
        told = known[demographic].dropna()
        kept = told[told.groupby(told).transform("size") >= FEWEST].sort_index()
        for read, table in sets.items():
            rows = table.reindex(kept.index.intersection(table.index))
            classes, truth = np.unique(kept.loc[rows.index].to_numpy(dtype=str), return_inverse=True)
            for metric in METRICS:
                figures = compare(truth, *answers(rows, truth, metric), metric, comparisons)
                is_carried = figures.pop("beyond_chance") > 0
                counts = (len(rows), len(told) - len(rows), len(classes))
                rounded: dict[str, Any] = {name: round(float(value), 4) for name, value in figures.items()}
                result.append(Found(demographic, read, metric, *counts, **rounded, is_carried=bool(is_carried)))
    return result


def known_demographics(path: Path, pseudonyms: Pseudonyms) -> pd.DataFrame:
    """Return the demographics by pseudonym."""
    known = pd.read_parquet(path)
    known.index = pd.Index([pseudonyms.of(str(household)) for household in known["household_id"]], name="user_id")
    return known[list(DEMOGRAPHICS)]


def main() -> None:
    """Print the study of one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shop_dir", type=Path, help="folder of the shop completejourney, e.g. var/completejourney")
    parser.add_argument("demographics", type=Path, help="demographics.parquet of the data set")
    parser.add_argument("--as-of", required=True, help="the day that was run")
    args = parser.parse_args()
    pseudonyms = Pseudonyms(read_key(args.shop_dir.parent / "secrets" / "pseudonym.key"))
    sets = sets_of_columns(args.shop_dir / "lake", args.as_of)
    if "traits" not in sets:
        print("no user_traits of that day: the portray step did not run; features alone\n")
    found = study(sets, known_demographics(args.demographics, pseudonyms))
    print(f"{'demographic':<16}{'read':<10}{'metric':<19}{'users':>6}{'out':>5}{'classes':>8}"
          f"{'largest':>9}{'found':>8}{'95% interval':>17}{'gain (95% interval)':>28}  carried")  # fmt: skip
    for one in found:
        print(
            f"{one.demographic:<16}{one.read:<10}{one.metric:<19}{one.households:>6}{one.left_out:>5}"
            f"{one.classes:>8}{one.largest_class:>9.3f}{one.classifier:>8.3f}"
            f"{f'{one.low:.3f} to {one.high:.3f}':>17}"
            f"{f'{one.gain:+.3f} ({one.gain_low:+.3f} to {one.gain_high:+.3f})':>28}"
            f"  {'yes' if one.is_carried else 'no'}"
        )
    print(json.dumps({"demographics": [asdict(one) for one in found]}))


if __name__ == "__main__":
    main()
