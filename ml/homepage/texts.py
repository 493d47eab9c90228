"""Titles and reasons in English and Chinese, from the row's own columns and the names they point to."""

from __future__ import annotations

import re

from ml.explain.reasons import segment_names

Text = tuple[str, str]

#: Reason codes of the rows that no list has given one.
(
    CAMPAIGN_PICK,
    CAMPAIGN_LOOK,
    DUE_HABIT,
    DUE_TWICE,
    PRICE_DROP_LOOK,
    PRICE_DROP_FAVORITE,
    SIMILAR,
    TOGETHER,
    NEW_FOLLOWED,
    NEW_IN,
    IN_REGION,
    IN_SEGMENT,
    POPULAR,
    AD,
) = (
    "campaign_with_your_pick",
    "campaign_with_your_look",
    "due_again",
    "bought_twice",
    "price_drop_on_your_look",
    "price_drop_in_your_category",
    "similar_text",
    "bought_together",
    "new_in_your_category",
    "new_in_category",
    "popular_in_region",
    "popular_in_segment",
    "popular",
    "ad",
)

_LATIN = re.compile(r"[A-Za-z0-9]")

FOR_YOU_TITLE: Text = ("Picked for you", "为你推荐")
#: Of a list that rests on nothing of the user's own.
FIRST_LOOK_TITLE: Text = ("Popular picks to start with", "先看看大家喜欢的")
BUY_AGAIN_TITLE: Text = ("Time to buy again", "该回购了")
PRICE_DROPS_TITLE: Text = ("Price drops for you", "为你留意的降价")
NEW_TITLE: Text = ("New for you", "为你上新")
NEW_IN_SHOP_TITLE: Text = ("New in the shop", "本店上新")
POPULAR_TITLE: Text = ("Popular right now", "大家都在买")
AD_TITLE: Text = ("Advertisement", "广告")
AD_REASON: Text = ("An advertisement", "广告")


def hero_title(campaign: str) -> Text:
    """Name the campaign."""
    return f"On now: {campaign}", f"正在进行：{campaign}"


def hero_pick(item: str) -> Text:
    """Name the item that the campaign covers: one of the user's picks."""
    return f"With {item}, one of our picks for you", f"含为你推荐的“{item}”"


def hero_popular(item: str) -> Text:
    """The same of a pick that rests on nothing of the user's own: it is told to be popular, no more."""
    return f"With {item}, popular right now", f"含大家都在买的“{item}”"


def hero_look(item: str) -> Text:
    """Name the item that the campaign covers: one that the user looked at."""
    return f"With {item}, which you looked at", f"含你看过的“{item}”"


def rhythm_reason(days: int, *, is_habit: bool) -> Text:
    """Say how often the user buys it; of two purchases no more than that there were two."""
    if days <= 1:
        return (
            ("You buy this about every day", "你差不多每天都买")
            if is_habit
            else ("You bought this twice", "你买过两次")
        )
    if is_habit:
        return f"You buy this about every {days} days", f"你大约每{days}天买一次"
    return f"You bought this twice, {days} days apart", f"你买过两次，相隔{days}天"


def viewed_title(item: str) -> Text:
    """Name the item looked at."""
    return f"Because you looked at {item}", f"因为你看过“{item}”"


def viewed_reason(item: str, *, is_together: bool) -> Text:
    """Say how the item goes with the one looked at."""
    if is_together:
        return f"Others who chose {item} chose this too", f"选“{item}”的人也选了它"
    return f"Similar to {item}", f"与“{item}”相似"


def price_evidence(before: float, now: float) -> str:
    """Return the two prices as the column evidence_id holds them."""
    return f"{before:.2f}/{now:.2f}"


def price_reason(evidence: str) -> Text:
    """Say the two prices."""
    before, now = evidence.split("/")
    return f"Price dropped from {before} to {now}", f"价格从 {before} 降到 {now}"


def new_title(category: str) -> Text:
    """Name the category, where all of the module is of one."""
    return f"New in {category}", f"{_spaced(category)}上新"


def new_reason(category: str, *, is_followed: bool) -> Text:
    """Name the category."""
    if not is_followed:
        return f"New in {category}", f"{_spaced(category)}有新品"
    return f"New in {category}, where you often look", f"你常逛的{_spaced(category, before=True)}有新品"


def region_title(region: str) -> Text:
    """Name the region."""
    return f"Popular in {region}", f"{_spaced(region)}热卖"


def region_reason(region: str) -> Text:
    """Name the region."""
    return f"Bought a lot in {region}", f"{_spaced(region)}的顾客常买"


def segment_reason(segment: str) -> Text:
    """Name the segment as its members may be told; all is everyone."""
    if segment == "all":
        return "Popular right now", "大家都在买"
    english, chinese = segment_names(segment)
    return f"Popular with {english}", f"受{chinese}欢迎"


def _spaced(name: str, *, before: bool = False) -> str:
    """Return a name for a Chinese sentence, with spaces where Latin letters would touch Chinese ones."""
    left = " " if before and _LATIN.match(name[0]) else ""
    return f"{left}{name} " if _LATIN.match(name[-1]) else f"{left}{name}"
