"""The rule by which a trained recommender is promoted, over lists that all contenders made for the same users.

Promoted is who

1. gains NDCG@20 over the opponent (the champion, or the blend where none was promoted yet), the mean over all
   users, where the lower end of the paired 90% interval is above minus 1% of the opponent's figure;
2. stands above every simple baseline (the blend, popularity, item-to-item alone) by the same mean;
3. makes no segment of 100 users or more worse: a fall by more than 5% of the opponent's NDCG@20 there, whose
   paired 90% interval holds no gain.

Intervals are bootstrap percentiles over users, the same resamples for both of a pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.metrics import ranking
from ml.recommender.tune import Targets

METRICS = (("ndcg", 10), ("ndcg", 20), ("recall", 10), ("recall", 20))
DECIDING = ("ndcg", 20)
MIN_USERS = 50
MIN_SEGMENT_USERS = 100
NOISE_SHARE = 0.01
SEGMENT_TOLERANCE = 0.05
RESAMPLES = 1000
#: Of the items by purchases before the measured days, the share that is called head.
HEAD_SHARE = 0.2


@dataclass(frozen=True)
class Contest:
    """Lists (users x length item positions) of each contender for the users of `targets`."""

    targets: Targets
    lists: dict[str, np.ndarray]
    user_segments: dict[str, np.ndarray]
    is_head: np.ndarray
    n_items: int

    def segments(self) -> dict[str, tuple[np.ndarray, Targets]]:
        """Return for each segment the rows of its users and their targets; empty segments are left out."""
        every = np.ones(len(self.targets.row), dtype=bool)
        head = self.is_head[self.targets.item]
        kept = {name: users[self.targets.row] for name, users in self.user_segments.items()}
        found = {}
        for name, targets_kept in {"all": every, **kept, "head_items": head, "tail_items": ~head}.items():
            rows, row = np.unique(self.targets.row[targets_kept], return_inverse=True)
            if len(rows):
                mine = Targets(self.targets.users[rows], row, self.targets.item[targets_kept])
                found[name] = (rows, mine)
        return found


@dataclass(frozen=True)
class Figure:
    """One contender's mean of a metric in one segment, with its 95% interval over users."""

    model: str
    segment: str
    metric: str
    k: int
    value: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Difference:
    """Challenger minus opponent over the same users, with the paired 90% interval of the mean."""

    segment: str
    metric: str
    k: int
    challenger: float
    opponent: float
    mean: float
    low: float
    high: float
    users: int

    @property
    def share(self) -> float:
        """The difference as a share of the opponent's figure."""
        return self.mean / self.opponent if self.opponent else np.inf * np.sign(self.mean)


@dataclass(frozen=True)
class Decision:
    """Whether the challenger is promoted, in words and in numbers."""

    promoted: bool
    why: str
    figures: list[Figure]
    differences: list[Difference]


def paired_interval(difference: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 90% percentile interval of the mean of users' differences (Efron, 1979)."""
    rng = np.random.default_rng(seed)
    n = len(difference)
    means = [difference @ rng.multinomial(n, np.full(n, 1.0 / n)) / n for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.05, 0.95])
    return float(low), float(high)


def measure(contest: Contest, challenger: str, opponent: str) -> tuple[list[Figure], list[Difference]]:
    """Measure all contenders in all segments, and the challenger against its opponent."""
    figures, differences = [], []
    for segment, (rows, targets) in contest.segments().items():
        hits = {
            model: ranking.hits_at(lists[rows], targets.row, targets.item, contest.n_items)
            for model, lists in contest.lists.items()
        }
        for metric, k in METRICS:
            of = ranking.ndcg if metric == "ndcg" else ranking.recall
            values = {model: of(found, targets.per_user, k) for model, found in hits.items()}
            for model, users in values.items():
                low, high = ranking.bootstrap_mean(users)
                figures.append(Figure(model, segment, metric, k, float(users.mean()), low, high, len(rows)))
            pair = values[challenger] - values[opponent]
            differences.append(
                Difference(
                    segment, metric, k, float(values[challenger].mean()), float(values[opponent].mean()),
                    float(pair.mean()), *paired_interval(pair), len(rows),
                )
            )  # fmt: skip
    return figures, differences


def decide(contest: Contest, challenger: str, opponent: str) -> Decision:
    """Apply the rule.

    Args:
        contest: lists of the challenger, of its opponent and of the simple baselines.
        challenger: a name in `contest.lists`.
        opponent: the champion's name there, or the blend's.

    """
    n_users = len(contest.targets.users)
    if n_users < MIN_USERS:
        why = f"kept: {n_users} users bought in the measured days, too few to decide by (fewer than {MIN_USERS})"
        return Decision(False, why, *(measure(contest, challenger, opponent) if n_users else ([], [])))
    figures, differences = measure(contest, challenger, opponent)
    deciding = {d.segment: d for d in differences if (d.metric, d.k) == DECIDING}
    overall = deciding["all"]
    numbers = (
        f"NDCG@20 of {n_users} users {overall.challenger:.4f} against {overall.opponent:.4f} of {opponent}, "
        f"{overall.share:+.1%} (paired 90% interval {overall.low:+.4f} to {overall.high:+.4f})"
    )
    against = []
    if overall.mean <= 0 or overall.low <= -NOISE_SHARE * overall.opponent:
        against.append("that is no clear gain")
    values = {f.model: f.value for f in figures if f.segment == "all" and (f.metric, f.k) == DECIDING}
    against += [
        f"the baseline {model} reaches {value:.4f}"
        for model, value in values.items()
        if model not in (challenger, opponent) and value >= overall.challenger
    ]
    against += [
        f"{d.segment} falls by {-d.share:.1%} ({d.opponent:.4f} to {d.challenger:.4f}, {d.users} users)"
        for d in deciding.values()
        if d.users >= MIN_SEGMENT_USERS and d.share < -SEGMENT_TOLERANCE and d.high < 0
    ]
    if against:
        return Decision(False, f"kept because {numbers}: {'; '.join(against)}", figures, differences)
    return Decision(True, f"promoted because {numbers}, and no segment falls", figures, differences)


def metric_rows(decision: dict[str, Any], popularity: str) -> list[dict[str, Any]]:
    """Return a recorded decision as rows of model_metrics: each contender but popularity, which is the baseline.

    Args:
        decision: as `champion.last_decision` gives it.
        popularity: name of the baseline among its contenders.

    """
    value = {(f["model"], f["segment"], f["metric"], f["k"]): f["value"] for f in decision["figures"]}
    rows = []
    for figure in decision["figures"]:
        of_same = (figure["segment"], figure["metric"], figure["k"])
        if figure["model"] == popularity:
            continue
        champions = value.get((decision["champion"], *of_same))
        rows.append(
            {
                "model": figure["model"],
                "segment": figure["segment"],
                "metric": figure["metric"],
                "k": figure["k"],
                "value": round(figure["value"], 6),
                "value_low": round(figure["low"], 6),
                "value_high": round(figure["high"], 6),
                "baseline_model": popularity,
                "baseline_value": round(value[(popularity, *of_same)], 6),
                "champion_value": None if champions is None else round(champions, 6),
                "users": figure["users"],
            }
        )
    return rows
