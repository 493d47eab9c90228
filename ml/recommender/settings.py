"""What the blend can be told. The defaults were chosen on validation data only: see docs/experiments.md."""

from __future__ import annotations

from dataclasses import dataclass, field

LIST_LENGTH = 20


@dataclass(frozen=True)
class BlendSettings:
    """Every dial of the blend; times are in days, weights multiply a source's normalised score."""

    # What an action says about interest in its item. A search has no item; dismissals and returns are rules.
    strengths: dict[str, float] = field(
        default_factory=lambda: {
            "view": 0.2,
            "click": 0.2,
            "cart": 0.6,
            "favorite": 0.6,
            "rating": 0.6,
            "purchase": 1.0,
        }
    )
    # An action loses half of its weight in this many days, but never falls below the floor: taste stays.
    half_life: float = 60.0
    recency_floor: float = 0.05
    # A wholly returned item counts this much against what is like it.
    return_penalty: float = 0.3

    # Co-occurrence: weight of one step (session, order) with itself, with the next, and how it fades.
    same_step: float = 1.0
    step_decay: float = 0.5
    backward: float = 0.3
    max_step_gap: int = 10
    # A step of n items gives each pair n^-2p: one huge order must not drown the rest.
    step_size_power: float = 0.5
    # Counts are divided by (support of the evidence)^a x (support of the candidate)^b.
    evidence_power: float = 0.4
    candidate_power: float = 0.5
    # Candidates that sell more lately than over all time are lifted by (recent / ever)^c.
    trend_power: float = 0.4
    trend_half_life: float = 14.0
    neighbours: int = 300

    # Text: cosine^power of the nearest items.
    text_neighbours: int = 200
    text_power: float = 4.0

    # Buy again: allowed where this share of the last 90 days' purchase lines are repeats.
    repeat_threshold: float = 0.10
    repeat_window: float = 90.0
    repeat_half_life: float = 240.0
    repeat_prior_buyers: float = 10.0
    repeat_rate_power: float = 0.5
    repeat_trend_power: float = 0.4

    # How much each source weighs.
    item_to_item_weight: float = 1.0
    text_weight: float = 0.2
    revisit_weight: float = 0.5
    buy_again_weight: float = 40.0
    popular_weight: float = 0.2
    # Share of the popularity source that comes from the user's own segment.
    segment_share: float = 0.5


#: Tried one dial after another, on the shop's own last week, by `tune.choose_settings`.
SEARCH_GRID: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("candidate_power", (0.1, 0.3, 0.5)),
    ("trend_power", (0.0, 0.4, 0.8)),
    ("half_life", (7.0, 30.0, 60.0, 180.0)),
    ("text_weight", (0.05, 0.2, 0.6, 1.5)),
    ("revisit_weight", (0.0, 0.5, 2.0)),
    ("buy_again_weight", (5.0, 15.0, 40.0, 100.0)),
    ("popular_weight", (0.02, 0.2, 1.0, 3.0)),
)
