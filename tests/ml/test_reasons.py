"""Reasons in both languages."""

from __future__ import annotations

import pytest

from ml.explain import reasons


@pytest.mark.parametrize(
    ("code", "names", "is_itself", "english", "chinese"),
    [
        (reasons.BOUGHT, ("Mug", "Mug"), False, "Because you bought Mug", "因为你买过“Mug”"),
        (reasons.VIEWED, ("红茶", "红茶"), False, "Because you looked at 红茶", "因为你看过“红茶”"),
        (reasons.VIEWED, ("Mug", "Mug"), True, "You looked at this before", "你之前看过它"),
        (reasons.SIMILAR, ("Mug {0}", "Mug {0}"), False, "Similar to Mug {0}", "与“Mug {0}”相似"),
        (reasons.BUY_AGAIN, ("Mug", "Mug"), True, "You bought this before",
         "你以前买过它"),
        (reasons.IN_SEGMENT, reasons.segment_names("loyal"), False,
         "Popular with regular customers", "受老顾客欢迎"),
        (reasons.POPULAR, reasons.segment_names("all"), False, "Popular right now", "大家都在买"),
        (reasons.NEW_IN_CATEGORY, ("数码", "数码"), False, "New in 数码", "“数码”上新"),
        (reasons.LITTLE_KNOWN, ("Mug", "Mug"), True, "Few have discovered this yet", "还没多少人发现它"),
    ],
)  # fmt: skip
def test_reason_texts(code, names, is_itself, english, chinese):
    assert reasons.reason_texts(code, names, is_itself) == (english, chinese)


def test_a_segment_without_a_name_is_spelled_out():
    assert reasons.segment_names("tea_lovers") == ("tea lovers", "tea lovers")
