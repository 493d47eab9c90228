"""Reasons in words, English and Chinese, from the reason's own columns and the names they point to."""

from __future__ import annotations

BOUGHT, VIEWED, SIMILAR, BUY_AGAIN, IN_SEGMENT, POPULAR, NEW_IN_CATEGORY, LITTLE_KNOWN = CODES = (
    "because_you_bought",
    "because_you_viewed",
    "similar_text",
    "buy_again",
    "popular_in_segment",
    "popular",
    "new_in_category",
    "little_known",
)

ENGLISH = {
    BOUGHT: "Because you bought {evidence}",
    VIEWED: "Because you looked at {evidence}",
    SIMILAR: "Similar to {evidence}",
    BUY_AGAIN: "You bought this before",
    IN_SEGMENT: "Popular with {evidence}",
    POPULAR: "Popular right now",
    NEW_IN_CATEGORY: "New in {evidence}",
    LITTLE_KNOWN: "Few have discovered this yet",
}
CHINESE = {
    BOUGHT: "因为你买过“{evidence}”",
    VIEWED: "因为你看过“{evidence}”",
    SIMILAR: "与“{evidence}”相似",
    BUY_AGAIN: "你以前买过它",
    IN_SEGMENT: "受{evidence}欢迎",
    POPULAR: "大家都在买",
    NEW_IN_CATEGORY: "“{evidence}”上新",
    LITTLE_KNOWN: "还没多少人发现它",
}
SEEN_ITSELF = ("You looked at this before", "你之前看过它")

#: Segments as their members may be told; how the shop ranks them is not for their eyes.
SEGMENT_NAMES = {
    "newcomers": ("newcomers", "新朋友"),
    "not_seen_yet": ("newcomers", "新朋友"),
    "window_shoppers": ("people who like to look around", "爱逛的朋友"),
    "new_buyers": ("new customers", "新顾客"),
    "promising": ("customers like you", "和你相似的顾客"),
    "big_spenders": ("customers like you", "和你相似的顾客"),
    "loyal": ("regular customers", "老顾客"),
    "champions": ("our most loyal customers", "忠实老顾客"),
    "at_risk": ("customers like you", "和你相似的顾客"),
    "lost": ("people coming back", "回来看看的朋友"),
}


def segment_names(segment: str) -> tuple[str, str]:
    """Return a segment's English and Chinese name; one without a name is spelled out."""
    plain = segment.replace("_", " ")
    return SEGMENT_NAMES.get(segment, (plain, plain))


def reason_texts(reason_code: str, evidence_names: tuple[str, str], is_item_itself: bool) -> tuple[str, str]:
    """Write a reason in English and Chinese.

    Args:
        reason_code: one of this module's CODES.
        evidence_names: English and Chinese name of the item, segment or category behind it (a title twice).
        is_item_itself: whether the evidence is the recommended item.

    """
    if reason_code == VIEWED and is_item_itself:
        return SEEN_ITSELF
    english, chinese = evidence_names
    return ENGLISH[reason_code].format(evidence=english), CHINESE[reason_code].format(evidence=chinese)
