"""What sets a segment apart, in numbers and in words of both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.portraits.item_portraits import number
from ml.portraits.segments import EVERYONE, NEWCOMERS
from ml.portraits.words import ALL_ROUND

LEAST_LIFT = 1.3  # of a category or a brand that names a segment
LEAST_SHARE = {"category": 0.15, "brand": 0.05}
LEAST_SCORES = 0.4  # standard deviations between a segment and everyone that make a habit worth a word
#: leaning: words for below, words for above
_HABITS = {
    "price_level": (("buy cheaper", "偏好低价"), ("buy dearer", "偏好高价")),
    "log_gap": (("buy often", "买得勤"), ("buy seldom", "买得少")),
    "novelty_seeking": (("stay with the known", "爱买熟悉的"), ("like new things", "爱尝新")),
    "bargain_seeking": (("pay the usual price", "不等优惠"), ("like offers", "爱买优惠")),
}


@dataclass(frozen=True)
class Group:
    """One segment's means beside everyone's."""

    segment_id: str
    users: int
    shares: dict[str, dict[str, tuple[float, float]]]
    leanings: dict[str, tuple[float, float, float]]

    def top(self, kind: str) -> tuple[str, float, float] | None:
        """Return (name, share, lift) of the category or brand with the largest lift, ties by name."""
        found = [
            (-own / all_, name, own)
            for name, (own, all_) in self.shares[kind].items()
            if all_ > 0 and own >= LEAST_SHARE[kind]
        ]
        if not found:
            return None
        lift, name, own = min(found)
        return name, own, -lift

    def habits(self) -> list[tuple[str, str]]:
        """Return what is unusual about how they buy, most unusual first."""
        scores = [
            (abs(own - all_) / spread, name, own > all_)
            for name, (own, all_, spread) in self.leanings.items()
            if spread > 0 and np.isfinite(own)
        ]
        told = sorted((s for s in scores if s[0] >= LEAST_SCORES), key=lambda s: (-s[0], s[1]))
        return [_HABITS[name][above] for _, name, above in told]


def names(groups: list[Group]) -> list[tuple[str, str]]:
    """Return a name of each segment in English and Chinese, no two alike."""
    found: list[tuple[str, str]] = []
    for group in groups:
        for detail in range(4):
            name = _name(group, detail)
            if name not in found:
                break
        else:
            name = (f"{name[0]} ({group.segment_id})", f"{name[1]}（{group.segment_id}）")
        found.append(name)
    return found


def _name(group: Group, detail: int) -> tuple[str, str]:
    """Name a segment by its category; with more detail, by its habits too."""
    if group.segment_id == NEWCOMERS:
        return "Newcomers", "新面孔"
    if group.segment_id == EVERYONE:
        return "Everyone", "所有顾客"
    top, habits = group.top("category"), group.habits()[:detail]
    is_told = top is not None and top[2] >= LEAST_LIFT
    english, chinese = (f"{top[0]} shoppers", f"爱逛{top[0]}的顾客") if top and is_told else ALL_ROUND
    if not habits:
        return english, chinese
    return (
        f"{english} who {' and '.join(h[0] for h in habits)}",
        f"{chinese[:-2]}、{'、'.join(h[1] for h in habits)}的顾客".replace("的、", "、"),
    )


def description(group: Group) -> tuple[str, str]:
    """Return what sets a segment apart from everyone, with its numbers, in both languages."""
    if group.segment_id == NEWCOMERS:
        return "Users of whom too little is known to tell a taste.", "行为太少，尚看不出偏好的用户。"
    if group.segment_id == EVERYONE:
        return (
            "All users with a taste: too few to tell segments apart.",
            "所有看得出偏好的用户：人数太少，无法再细分。",
        )
    english, chinese = [], []
    for kind in ("category", "brand"):
        top = group.top(kind)
        if top is not None and top[2] > 1:
            english.append(
                f"{top[0]} makes up {100 * top[1]:.0f}% of what they act on, {top[2]:.1f} times everyone's share"
            )
            chinese.append(f"{top[0]}占其行为的{100 * top[1]:.0f}%，是全体用户的{top[2]:.1f}倍")
    said = {
        "price_level": ("price level", "价格水平"),
        "novelty_seeking": ("share of new items", "新品占比"),
        "bargain_seeking": ("share bought below the usual price", "低于平时价格购买的占比"),
    }
    for name, (own, all_, spread) in group.leanings.items():
        if not (np.isfinite(own) and spread > 0 and abs(own - all_) / spread >= LEAST_SCORES):
            continue
        if name == "log_gap":
            english.append(f"an order every {np.exp(own):.0f} days (everyone {np.exp(all_):.0f})")
            chinese.append(f"约每{np.exp(own):.0f}天下一单（全体{np.exp(all_):.0f}天）")
        else:
            english.append(f"{said[name][0]} {own:.2f} (everyone {all_:.2f})")
            chinese.append(f"{said[name][1]}{own:.2f}（全体{all_:.2f}）")
    if not english:
        return "Much like everyone.", "与全体用户相近。"
    return "; ".join(english) + ".", "；".join(chinese) + "。"


def segment_rows(groups: list[Group], of_user: np.ndarray, spending: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return taste_segments as columns, by id.

    Args:
        groups: the segments, in the order that `of_user` counts them.
        of_user: each user's segment.
        spending: average_order_value and orders_90d of each user, nan for none.

    """
    order = sorted(range(len(groups)), key=lambda i: groups[i].segment_id)
    named, told = names(groups), [description(group) for group in groups]
    tops = {kind: [group.top(kind) for group in groups] for kind in ("category", "brand")}

    def mean(values: np.ndarray, i: int) -> float:
        own = values[(of_user == i) & np.isfinite(values)]
        return float(own.mean()) if len(own) else float("nan")

    return {
        "taste_segment": [groups[i].segment_id for i in order],
        "name": [named[i][0] for i in order],
        "name_zh": [named[i][1] for i in order],
        "description": [told[i][0] for i in order],
        "description_zh": [told[i][1] for i in order],
        "users": [groups[i].users for i in order],
        "share": [groups[i].users / max(len(of_user), 1) for i in order],
        **{c: number(np.array([mean(values, i) for i in order])) for c, values in spending.items()},
        **{
            f"top_{kind}{suffix}": [None if (top := tops[kind][i]) is None else top[part] for i in order]
            for kind in ("category", "brand")
            for suffix, part in (("", 0), ("_lift", 2))
        },
    }
