"""Portraits in words, by a template: nothing but the user's traits, and only those that are sure enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.portraits.belief import SURE
from ml.portraits.words import (
    ALL_ROUND,
    BARGAINS,
    BUYER,
    MOODS,
    NOVELTY,
    PLATFORMS,
    PRICES,
    SOMEBODY,
    STAGES,
    TOO_LITTLE,
    WEEKDAYS,
)


@dataclass(frozen=True)
class Trait:
    """One row of user_traits, as far as texts need it; `strength` is None where the trait is no number."""

    trait: str
    subject: str
    value: str
    strength: float | None
    confidence: float


@dataclass(frozen=True)
class Shop:
    """What texts take from the shop: the day, segments' names, from which share on a leaning is worth a word."""

    last_day: str
    segment_names: Mapping[str, tuple[str, str]]
    least: Mapping[str, float]


def percent(share: float | None) -> int:
    """Return a share in whole percent, as texts give it."""
    return round(100 * (share or 0.0))


def portrait_texts(traits: Sequence[Trait], shop: Shop) -> tuple[str, str]:
    """Write one user's portrait in English and Chinese.

    Args:
        traits: the user's, in the order of user_traits' key.
        shop: what is the shop's.

    """
    sure: dict[str, list[Trait]] = {}
    for trait in traits:
        if trait.confidence >= SURE:
            sure.setdefault(trait.trait, []).append(trait)
    parts = [
        _user(traits, sure, shop),
        _tastes(sure),
        _choices(sure, shop),
        _rhythm(sure, shop),
        _habits(sure),
        _mood(sure),
    ]
    told = [part for part in parts if part]
    if len(told) == 1:
        told.append(TOO_LITTLE)
    english = " ".join(f"{text[0].upper()}{text[1:]}." for text, _ in told)
    return english, "。".join(text for _, text in told) + "。"


Sure = Mapping[str, Sequence[Trait]]
Said = tuple[str, str]


def _who(traits: Sequence[Trait], sure: Sure) -> Said:
    """Name the stage where it is sure; that somebody has bought, or has not, is sure in any case."""
    stages = [trait.value for trait in traits if trait.trait == "lifecycle_stage"]
    if not stages or stages[0] not in STAGES:
        return SOMEBODY
    if "lifecycle_stage" in sure or stages[0] == "visitor":
        return STAGES[stages[0]]
    return BUYER


def _group(sure: Sure, shop: Shop) -> Said | None:
    """Return the name of the taste segment, unless it tells of a category that is none of the user's own."""
    names = shop.segment_names.get(sure["taste_segment"][0].value) if "taste_segment" in sure else None
    own = [trait.subject for trait in sure.get("category_affinity", ())]
    if names is None or not own or names[0].startswith(ALL_ROUND[0]):
        return names
    return names if any(subject in names[0] for subject in own) else None


def _user(traits: Sequence[Trait], sure: Sure, shop: Shop) -> Said:
    who, names = _who(traits, sure), _group(sure, shop)
    if names is None:
        return who
    return f"{who[0]}, one of the “{names[0]}”", f"{who[1]}，属于“{names[1]}”"


def _listed(traits: Sequence[Trait]) -> Said:
    by_share = sorted(traits, key=lambda t: (-(t.strength or 0.0), t.subject))
    names = [(t.subject, percent(t.strength)) for t in by_share]
    english = [f"{name} ({share}%)" for name, share in names]
    joined = english[0] if len(english) == 1 else f"{', '.join(english[:-1])} and {english[-1]}"
    return joined, "、".join(f"{name}（{share}%）" for name, share in names)


def _tastes(sure: Sure) -> Said | None:
    english, chinese = [], []
    if "category_affinity" in sure:
        names = _listed(sure["category_affinity"])
        english.append(f"looks mostly at {names[0]}")
        chinese.append(f"主要关注{names[1]}")
    if "brand_affinity" in sure:
        names = _listed(sure["brand_affinity"])
        english.append(f"favours {names[0]}")
        chinese.append(f"偏爱{names[1]}")
    return (" and ".join(english), "，".join(chinese)) if english else None


def _choices(sure: Sure, shop: Shop) -> Said | None:
    english, chinese = [], []
    if "price_level" in sure and sure["price_level"][0].value in PRICES:
        words = PRICES[sure["price_level"][0].value]
        english.append(f"buys at {words[0]}")
        chinese.append(f"购买{words[1]}")
    for trait, words, said in (
        ("bargain_seeking", BARGAINS, ("often buys {} ({}%)", "常以{}购买（{}%）")),
        ("novelty_seeking", NOVELTY, ("likes items {} ({}%)", "喜欢{}的商品（{}%）")),
    ):
        if trait in sure and (sure[trait][0].strength or 0.0) >= shop.least.get(trait, 0.0):
            share = percent(sure[trait][0].strength)
            english.append(said[0].format(words[0], share))
            chinese.append(said[1].format(words[1], share))
    return (", ".join(english), "，".join(chinese)) if english else None


def _rhythm(sure: Sure, shop: Shop) -> Said | None:
    if "purchase_rhythm" not in sure:
        return None
    days = round(sure["purchase_rhythm"][0].strength or 0.0)
    english, chinese = f"orders about every {days} days", f"约每{days}天下单一次"
    if "next_purchase" in sure:
        due = sure["next_purchase"][0].value
        late = due <= shop.last_day
        english += f"; the next order {'was' if late else 'is'} due by {due}"
        chinese += f"，下一单{'本应' if late else '预计'}不晚于{due}"
    return english, chinese


def _habits(sure: Sure) -> Said | None:
    english, chinese = [], []
    if "active_weekday" in sure:
        words = WEEKDAYS[sure["active_weekday"][0].value]
        english.append(f"on {words[0]}")
        chinese.append(words[1])
    if "active_hour" in sure:
        hour = sure["active_hour"][0].value
        english.append(f"around {hour}")
        chinese.append(f"{hour}前后")
    if "platform" in sure and sure["platform"][0].value in PLATFORMS:
        words = PLATFORMS[sure["platform"][0].value]
        english.append(f"on {words[0]}")
        chinese.append(f"使用{words[1]}")
    return (f"usually comes {', '.join(english)}", f"通常{'，'.join(chinese)}来访") if english else None


def _mood(sure: Sure) -> Said | None:
    if "review_sentiment" not in sure:
        return None
    words = MOODS[sure["review_sentiment"][0].value]
    return f"writes {words[0]}", words[1]
