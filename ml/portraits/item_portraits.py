"""What the system thinks of each item, from its features, its reviews and who buys it."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np

from ml.portraits.evidence import Evidence
from ml.portraits.key_phrases import key_phrases
from ml.portraits.sentiment import Judged

CONVERSION_VIEWS = 50.0  # views' worth of the shop's own conversion beside the item's
TREND_PRIOR = 0.1  # purchases a day added to both sides of the trend
TREND_FROM_AGE = 14  # days in the catalogue
LIFT_BUYERS = 20.0  # buyers' worth of the shop's own segments beside the item's
LEAST_BUYERS = 5
LEAST_LIFT = 1.05


def trend(purchases_7d: np.ndarray, purchases_30d: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return purchases a day of the last 7 days over those of the 23 before, or of as many as the item has had."""
    before = np.clip(age - 7, 1, 23)
    ratio = (purchases_7d / 7 + TREND_PRIOR) / ((purchases_30d - purchases_7d) / before + TREND_PRIOR)
    return np.where(age >= TREND_FROM_AGE, ratio, np.nan)


def conversion(purchases: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Return purchase lines a view, drawn to the shop's own; nan where the shop logs no views."""
    if not views.sum():
        return np.full(len(views), np.nan)
    of_shop = purchases.sum() / views.sum()
    return (purchases + CONVERSION_VIEWS * of_shop) / (views + CONVERSION_VIEWS)


def buyer_segments(evidence: Evidence, segment: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each item the taste segment with the largest lift among its buyers, and that lift.

    The segment's share of the item's different buyers, drawn to its share of all buyers, over the latter. Empty
    and nan where there are fewer than LEAST_BUYERS, or where no segment stands out.

    Args:
        evidence: the day's.
        segment: position in `names` of each user's segment.
        names: the segments.

    """
    actions, n = evidence.actions, len(evidence.goods.item_ids)
    bought = actions.is_purchase
    pairs = np.unique(actions.item[bought] * np.int64(max(len(evidence.people), 1)) + actions.user[bought])
    item, user = pairs // max(len(evidence.people), 1), pairs % max(len(evidence.people), 1)
    counts = np.bincount(item * len(names) + segment[user], minlength=n * len(names)).reshape(n, len(names))
    everyone = np.bincount(segment[np.unique(user)], minlength=len(names)) / max(len(np.unique(user)), 1)
    buyers = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = (counts + LIFT_BUYERS * everyone) / (buyers + LIFT_BUYERS)[:, None] / everyone
    lift = np.where(everyone > 0, lift, 0.0)
    best = lift.argmax(axis=1)
    top = lift[np.arange(n), best]
    told = (buyers >= LEAST_BUYERS) & (top >= LEAST_LIFT)
    return np.array([names[b] if t else None for b, t in zip(best, told, strict=True)], dtype=object), np.where(
        told, top, np.nan
    )


def item_portraits(
    connection: duckdb.DuckDBPyConnection,
    evidence: Evidence,
    judged: Judged,
    segment: np.ndarray,
    names: np.ndarray,
) -> dict[str, Any]:
    """Return item_portraits as columns, by item id."""
    rows = connection.execute(
        """
        select
            title, category, brand, price, price_band, is_active, popularity, views_30d, purchases_7d,
            purchases_30d, return_rate, is_cold_start,
            cast(created_on - date '1970-01-01' as double) as created
        from features.features.item_features
        order by item_id
        """
    ).fetchnumpy()
    goods, reviews = evidence.goods, evidence.reviews
    n = len(goods.item_ids)
    popularity = np.asarray(rows["popularity"], dtype=np.float64)
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((np.arange(n), -popularity))] = np.arange(1, n + 1)
    views, week, month = (
        np.asarray(rows[c], dtype=np.float64) for c in ("views_30d", "purchases_7d", "purchases_30d")
    )
    # An item of unknown age has been there for long.
    created = np.nan_to_num(np.ma.filled(np.ma.asarray(rows["created"], dtype=np.float64), np.nan), nan=0.0)
    latest_first = np.arange(len(reviews.item))[::-1]
    phrases = key_phrases(
        [str(t) for t in goods.titles],
        ((int(reviews.item[r]), str(reviews.text[r])) for r in latest_first if reviews.text[r]),
    )
    buyer_segment, lift = buyer_segments(evidence, segment, names)
    return {
        "item_id": goods.item_ids,
        "title": goods.titles,
        **{c: _or_none(rows[c]) for c in ("category", "brand", "price", "price_band", "return_rate")},
        "is_active": np.asarray(rows["is_active"], dtype=bool),
        "popularity": popularity,
        "popularity_rank": rank,
        "trend": number(trend(week, month, evidence.end_of_day - created)),
        "views_30d": views.astype(np.int64),
        "purchases_30d": month.astype(np.int64),
        "conversion": number(conversion(month, views)),
        "reviews": np.bincount(reviews.item, minlength=n),
        "review_rating": number(_mean(reviews.item, reviews.rating, n)),
        "review_sentiment": number(_mean(reviews.item, judged.sentiment, n)),
        "keywords": [text or None for text in phrases],
        "buyer_segment": list(buyer_segment),
        "buyer_segment_lift": number(lift),
        "is_cold_start": np.asarray(rows["is_cold_start"], dtype=bool),
    }


def number(values: np.ndarray) -> list[float | None]:
    """Return numbers for a column that may be null: nan is null."""
    return [round(float(v), 9) if np.isfinite(v) else None for v in values]


def _or_none(values: Any) -> list[Any]:
    return np.ma.asarray(values).tolist()


def _mean(group: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    there = np.isfinite(values)
    count = np.bincount(group[there], minlength=n)
    total = np.bincount(group[there], values[there], n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
