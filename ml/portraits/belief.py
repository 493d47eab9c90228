"""How sure a belief is, how that fades, and when it is forgotten.

    evidence now  = evidence on the day of the last piece of it x 2^(-days since / half-life)
    confidence    = ceiling x (1 - exp(-evidence now / n0))             of what is counted
                  = 2 / pi x arcsin(sqrt(evidence now / (evidence now + size)))   of what is drawn to everyone's

A trait that nothing feeds keeps its strength and loses confidence, smoothly; under FLOOR it is no longer believed.
Strengths are therefore weighed as of the user's own last evidence, never as of today.

Confidence is what is right beyond chance, as Cohen's kappa counts it: 0 for a guess, 1 for certainty. n0 and
ceiling are the ones of highest likelihood on half of the users of a simulated shop, whose truth is known
(`python -m bench.portrait_truth`; docs/experiments.md has the figures). The second form needs no choosing:
`size` is what each shop's own users say (`ml/portraits/shrink.py`), evidence / (evidence + size) is the squared
correlation with the truth, and the arcsine is how often a normal variable is then on the right side of
everyone's (Sheppard, 1899).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

FLOOR = 0.1  # confidence under which a belief is forgotten
SURE = 0.5  # confidence from which on it is said in a portrait's text


@dataclass(frozen=True)
class Fading:
    """How a trait's evidence counts: `half_life` in days, `n0` in pieces of evidence, `ceiling` a confidence."""

    half_life: float
    n0: float
    ceiling: float = 1.0

    def confidence(self, evidence: np.ndarray, silence: np.ndarray) -> np.ndarray:
        """Return how sure to be, 0 to `ceiling`, of evidence that is `silence` days old."""
        return self.ceiling * -np.expm1(-evidence * 2.0 ** (-silence / self.half_life) / self.n0)

    def days_until_forgotten(self, evidence: np.ndarray) -> np.ndarray:
        """Return after how many days without anything new confidence has come down to FLOOR.

        Negative where it is never above it.
        """
        needed = -self.n0 * np.log1p(-FLOOR / self.ceiling)
        with np.errstate(divide="ignore"):
            return self.half_life * np.log2(evidence / needed)


@dataclass(frozen=True)
class Drawn:
    """How the evidence counts of a trait that is drawn to everyone's; `size` in pieces of evidence."""

    half_life: float
    size: float

    def confidence(self, evidence: np.ndarray, silence: np.ndarray) -> np.ndarray:
        """Return how sure to be, 0 to 1, of evidence that is `silence` days old."""
        now = evidence * 2.0 ** (-silence / self.half_life)
        return 2.0 / np.pi * np.arcsin(np.sqrt(now / (now + self.size)))

    def days_until_forgotten(self, evidence: np.ndarray) -> np.ndarray:
        """Return after how many days without anything new confidence has come down to FLOOR; negative: it has."""
        share = np.sin(np.pi / 2.0 * FLOOR) ** 2
        with np.errstate(divide="ignore"):
            return self.half_life * np.log2(evidence * (1.0 - share) / (share * self.size))


#: Days after which no action is read any more: what nothing feeds ends then, however sure it is.
KEPT_DAYS = 365.0
#: Traits that are counted. Evidence is in views' worth of actions (affinities, taste segment), order days
#: (rhythm), active hours (hour, platform) or reviews. Chosen on the simulated shop of seed 7
#: with 2,000 users, on 2026-10-31.
FADING: dict[str, Fading] = {
    "category_affinity": Fading(120.0, 11.0, 0.75),
    "brand_affinity": Fading(120.0, 5.0, 0.85),
    "taste_segment": Fading(120.0, 8.0, 0.7),
    "purchase_rhythm": Fading(180.0, 3.5, 0.55),
    "next_purchase": Fading(180.0, 2.0),  # beside the chance that the rhythm itself gives
    "active_hour": Fading(180.0, 3.0, 0.95),
    "platform": Fading(180.0, 0.5),
    "review_sentiment": Fading(365.0, 2.0),  # by judgement: no truth to choose it on
}
#: Half-lives, in days, of the traits that are drawn to everyone's.
HALF_LIFE = {"price_level": 180.0, "bargain_seeking": 180.0, "novelty_seeking": 180.0, "active_weekday": 120.0}


@dataclass(frozen=True)
class Belief:
    """One trait of many users, sorted by user: all arrays have one entry a row of user_traits.

    `user` is the position among the users, `first` and `until` are days since 1970-01-01 (with fractions; `until`
    is nan where the belief does not fade). `words` writes a row's evidence in English and Chinese.
    """

    trait: str
    user: np.ndarray
    subject: np.ndarray
    value: np.ndarray
    strength: np.ndarray
    confidence: np.ndarray
    source: str
    count: np.ndarray
    first: np.ndarray
    until: np.ndarray
    words: Callable[[int], tuple[str, str]]

    def kept(self, kept: np.ndarray) -> Belief:
        """Return the rows that `kept` names, in order."""
        rows = np.flatnonzero(kept)
        words = self.words
        return replace(
            self, user=self.user[rows], subject=self.subject[rows], value=self.value[rows],
            strength=self.strength[rows], confidence=self.confidence[rows], count=self.count[rows],
            first=self.first[rows], until=self.until[rows], words=lambda row: words(int(rows[row])),
        )  # fmt: skip


def fading_belief(
    trait: str,
    user: np.ndarray,
    subject: np.ndarray | str,
    value: np.ndarray,
    strength: np.ndarray,
    evidence: np.ndarray,
    span: tuple[np.ndarray, np.ndarray],
    count: np.ndarray,
    end_of_day: float,
    words: Callable[[int], tuple[str, str]],
    *,
    fading: Fading | Drawn | None = None,
    source: str = "measured",
) -> Belief:
    """Return the belief with its confidence, without the rows that are forgotten.

    Args:
        trait: a key of FADING, or another with its own `fading`.
        user: position of each row's user, ascending.
        subject: what each row is about; one text for all.
        value: the trait in a word.
        strength: the trait as a number; nan for none.
        evidence: how much there was on the day of the last piece of it.
        span: days of the first and the last piece of evidence.
        count: pieces of evidence, whole.
        end_of_day: when the shop's last day is over, in days.
        words: a row's evidence in English and Chinese.
        fading: instead of the trait's own.
        source: measured or model.

    """
    rule = fading or FADING[trait]
    first, last = span
    subjects = np.full(len(user), subject, dtype=object) if isinstance(subject, str) else subject
    age = np.maximum(end_of_day - last, 0.0)
    whole = Belief(
        trait, user, subjects, value, strength, rule.confidence(evidence, age), source, count,
        first, last + np.minimum(rule.days_until_forgotten(evidence), KEPT_DAYS), words,
    )  # fmt: skip
    return whole.kept(whole.confidence >= FLOOR)
