"""What reviews say, -1 (bad) to 1 (good): a small model that each shop's own starred reviews teach.

TF-IDF of the characters' n-grams, which needs no words and so serves Chinese and English alike, and a logistic
regression (as NB-SVM's baseline in Wang and Manning, 2012). It learns from reviews of at least LIKED stars and of
at most DISLIKED; three stars say neither. It is used if, taught on the earlier reviews, it tells the later ones
apart clearly better than chance; else stars speak. Texts that it cannot read are judged by their stars too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from ml.portraits.affinities import decayed, last_time
from ml.portraits.belief import FADING, Belief, fading_belief
from ml.portraits.evidence import Evidence, Reviews

LIKED, DISLIKED = 4.0, 2.0
LEAST_OF_A_KIND = 30  # reviews of each kind, among the earlier and among the later ones
MOST_REVIEWS = 100_000  # the latest ones teach
LATER_SHARE = 0.2
LEAST_BALANCED_ACCURACY = 0.65
LEAST_SIZE = 1.0  # reviews' worth of everyone's mean that stand beside a user's own


def text_model() -> Pipeline:
    """Return the untaught model."""
    return make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, max_features=200_000, sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1000, class_weight="balanced", random_state=0),
    )


@dataclass(frozen=True)
class Judged:
    """The sentiment of each review (nan where there are neither words nor stars) and how it was found."""

    sentiment: np.ndarray
    from_text: np.ndarray
    report: dict[str, Any]


def judge(reviews: Reviews) -> Judged:
    """Judge all reviews, which are in order of time."""
    stars = np.clip((reviews.rating - 3.0) / 2.0, -1.0, 1.0)
    has_text = reviews.text != ""
    teaching = np.flatnonzero(has_text & ((reviews.rating >= LIKED) | (reviews.rating <= DISLIKED)))[
        -MOST_REVIEWS:
    ]
    is_good = reviews.rating[teaching] >= LIKED
    with threadpool_limits(limits=1):  # sums in one order: the same bits in every run
        model, report = _teach(reviews.text[teaching], is_good)
        if model is None:
            return Judged(stars, np.zeros(len(stars), dtype=bool), report)
        sentiment = stars.copy()
        texts, place = np.unique(reviews.text[has_text].astype(str), return_inverse=True)
        # A hair's breadth is not a judgement: rounded, so that no machine's last bit shows.
        said = np.round(2.0 * model.predict_proba(texts)[:, 1] - 1.0, 6) if len(texts) else np.zeros(0)
    sentiment[has_text] = said[place]
    return Judged(sentiment, has_text, report)


def _teach(texts: np.ndarray, is_good: np.ndarray) -> tuple[Pipeline | None, dict[str, Any]]:
    later = int(len(texts) * (1 - LATER_SHARE))
    counts = {"reviews_with_text_and_stars": len(texts), "good": int(is_good.sum()), "bad": int((~is_good).sum())}
    kinds = [int(kind.sum()) for part in (is_good[:later], is_good[later:]) for kind in (part, ~part)]
    if min(kinds, default=0) < LEAST_OF_A_KIND:
        return None, {**counts, "source": "stars", "why": f"fewer than {LEAST_OF_A_KIND} starred texts of a kind"}
    held_out = text_model().fit(texts[:later], is_good[:later])
    chance = held_out.predict_proba(texts[later:])[:, 1]
    figures = {
        "held_out_reviews": len(texts) - later,
        "held_out_accuracy": round(float(np.mean((chance > 0.5) == is_good[later:])), 4),
        "held_out_balanced_accuracy": round(float(balanced_accuracy_score(is_good[later:], chance > 0.5)), 4),
        "held_out_auc": round(float(roc_auc_score(is_good[later:], chance)), 4),
        "held_out_share_good": round(float(is_good[later:].mean()), 4),
    }
    if figures["held_out_balanced_accuracy"] < LEAST_BALANCED_ACCURACY:
        return None, {
            **counts,
            **figures,
            "source": "stars",
            "why": "the text tells later reviews apart too badly",
        }
    return text_model().fit(texts, is_good), {**counts, **figures, "source": "text"}


@dataclass(frozen=True)
class Mood:
    """Each user's mean sentiment, drawn to everyone's; nan without a review."""

    value: np.ndarray
    belief: Belief


def user_mood(judged: Judged, evidence: Evidence) -> Mood:
    """Average over each user's reviews, recent ones counting more."""
    reviews, n = evidence.reviews, len(evidence.people)
    rows = np.flatnonzero((reviews.user >= 0) & np.isfinite(judged.sentiment))
    rows = rows[np.argsort(reviews.user[rows], kind="stable")]
    who, time, said = reviews.user[rows], reviews.time[rows], judged.sentiment[rows]
    weight = decayed(who, time, n, FADING["review_sentiment"].half_life)
    total, count = np.bincount(who, weight, n), np.bincount(who, minlength=n)
    everyone = float(said.mean()) if len(said) else 0.0
    value = np.where(
        count > 0, (np.bincount(who, weight * said, n) + LEAST_SIZE * everyone) / (total + LEAST_SIZE), np.nan
    )
    user = np.flatnonzero(count > 0)
    by_text = np.bincount(who, judged.from_text[rows], n)[user].astype(np.int64)
    mean, number = value[user], count[user]
    word = np.where(mean >= 0.2, "positive", np.where(mean <= -0.2, "negative", "mixed")).astype(object)

    def words(row: int) -> tuple[str, str]:
        k, m, own = number[row], by_text[row], f"{mean[row]:.2f}"
        return (
            f"mean {own} of {k} review(s), {m} by words, {k - m} by stars; drawn to everyone's {everyone:.2f}",
            f"{k}条评价的均值{own}，其中{m}条按文字、{k - m}条按星级判断；向全店的{everyone:.2f}收缩",
        )

    belief = fading_belief(
        "review_sentiment", user, "all", word, mean, total[user],
        (-last_time(who, -time, n)[user], last_time(who, time, n)[user]), number, evidence.end_of_day, words,
        source="model" if judged.report["source"] == "text" else "measured",
    )  # fmt: skip
    return Mood(value, belief)
