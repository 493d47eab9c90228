"""Texts: the template's have no fault, and every planted lie is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.portraits.portrait_text import Shop, Trait, portrait_texts
from ml.portraits.text_check import TextCheck
from ml.portraits.words import MOODS, PLATFORMS, PRICES, STAGES, WEEKDAYS

SHOP = Shop(
    "2026-10-31",
    {"taste-01": ("Books shoppers", "爱逛Books的顾客"), "taste-02": ("Garden shoppers", "爱逛Garden的顾客")},
    {"bargain_seeking": 0.3, "novelty_seeking": 0.3},
)
NAMES = ["Books", "Garden", "数码", "茶叶", "Dr. Leaf", "Active", "云途", "3M", "Web", "A"]
CHECK = TextCheck(NAMES, SHOP)


def trait(name: str, value: str, strength: float | None = None, subject: str = "all", sure: float = 0.9) -> Trait:
    return Trait(name, subject, value, strength, sure)


TRAITS = [
    trait("active_hour", "21:00", 0.6),
    trait("active_weekday", "friday", 0.4),
    trait("bargain_seeking", "0.45", 0.45),
    trait("brand_affinity", "0.20", 0.2, "Dr. Leaf"),
    trait("category_affinity", "0.62", 0.62, "Books"),
    trait("category_affinity", "0.21", 0.21, "数码"),
    trait("lifecycle_stage", "loyal"),
    trait("next_purchase", "2026-11-05", 5.0),
    trait("platform", "ios", 0.9),
    trait("price_level", "low", 0.3),
    trait("purchase_rhythm", "14 days", 14.2),
    trait("review_sentiment", "positive", 0.7),
    trait("taste_segment", "taste-01"),
]
ENGLISH, CHINESE = portrait_texts(TRAITS, SHOP)


def test_a_whole_portrait():
    assert ENGLISH == (
        "A loyal customer, one of the “Books shoppers”. Looks mostly at Books (62%) and 数码 (21%) and favours "
        "Dr. Leaf (20%). Buys at the lower end of prices, often buys below the usual price (45%). "
        "Orders about every 14 days; the next order is due by 2026-11-05. "
        "Usually comes on Fridays, around 21:00, on the iOS app. Writes mostly positive reviews."
    )
    assert CHINESE == (
        "忠实顾客，属于“爱逛Books的顾客”。主要关注Books（62%）、数码（21%），偏爱Dr. Leaf（20%）。购买价位偏低，"
        "常以低于平时价格购买（45%）。约每14天下单一次，下一单预计不晚于2026-11-05。通常周五，21:00前后，"
        "使用iOS应用来访。评价多为好评。"
    )
    assert CHECK.faults(ENGLISH, TRAITS) == CHECK.faults(CHINESE, TRAITS) == []


def test_what_is_not_sure_is_not_said():
    unsure = [Trait(t.trait, t.subject, t.value, t.strength, 0.49) for t in TRAITS]
    assert portrait_texts(unsure, SHOP)[0] == "A customer. Too little is known yet to say more."


@pytest.mark.parametrize(
    ("true", "lie", "fault"),
    [
        ("loyal customer", "new customer", "lifecycle_stage is not new"),
        ("Books (62%)", "Garden (62%)", "garden is none of the user's"),
        ("Books (62%)", "Books (21%)", "21% is not the share of books"),
        ("数码 (21%)", "茶叶 (21%)", "茶叶 is none of the user's"),
        ("Dr. Leaf (20%)", "云途 (20%)", "云途 is none of the user's"),
        ("lower end", "higher end", "price_level is not high"),
        ("price (45%)", "price (62%)", "no trait bears out 62%"),
        ("14 days", "62 days", "no trait bears out 62 days"),
        ("14 days", "14.5 days", "no trait bears out 14.5 days"),
        ("2026-11-05", "2026-11-06", "no trait bears out 2026-11-06"),
        ("Fridays", "Mondays", "active_weekday is not monday"),
        ("21:00", "09:00", "no trait bears out 09:00"),
        ("the iOS app", "the web", "platform is not web"),
        ("positive", "negative", "review_sentiment is not negative"),
        ("Books shoppers", "Garden shoppers", "taste_segment is not taste-02"),
        ("A loyal customer", "A loyal customer, recently divorced", "cannot be checked: recently"),
        ("A loyal customer", "Not a loyal customer", "cannot be checked: not"),
        ("reviews.", "reviews. Bought 3 times.", "no trait bears out 3"),
        ("reviews.", "reviews. Likes Active (62%).", "active is none of the user's"),
        ("reviews.", "reviews. Likes items new to the catalogue (45%).", "novelty_seeking is not known"),
    ],
)
def test_every_lie_in_english_is_found(true, lie, fault):
    assert true in ENGLISH
    assert any(found.startswith(fault) for found in CHECK.faults(ENGLISH.replace(true, lie, 1), TRAITS))


@pytest.mark.parametrize(
    ("true", "lie", "fault"),
    [
        ("忠实顾客", "沉寂已久的顾客", "lifecycle_stage is not dormant"),
        ("Books（62%）", "茶叶（62%）", "茶叶 is none of the user's"),
        ("数码（21%）", "数码（62%）", "62% is not the share of 数码"),
        ("价位偏低", "价位偏高", "price_level is not high"),
        ("14天", "41天", "no trait bears out 41天"),
        ("周五", "周六", "active_weekday is not saturday"),
        ("iOS应用", "小程序", "platform is not mini_program"),
        ("好评。", "好评。是一位母亲。", "cannot be checked: 母"),
        ("忠实顾客", "不是忠实顾客", "cannot be checked: 不"),
        ("评价多为好评", "评价多为差评", "review_sentiment is not negative"),
    ],
)
def test_every_lie_in_chinese_is_found(true, lie, fault):
    assert true in CHINESE
    assert any(found.startswith(fault) for found in CHECK.faults(CHINESE.replace(true, lie, 1), TRAITS))


def test_no_text_is_a_fault():
    assert CHECK.faults("  ", TRAITS) == ["there is no text"]


def test_another_users_text_is_at_fault():
    other = [t for t in TRAITS if t.trait != "category_affinity"]
    assert CHECK.faults(ENGLISH, other) == [
        "books is none of the user's categories and brands",
        "数码 is none of the user's categories and brands",
    ]


SHARES = st.floats(0.1, 1.0)
SURE = st.floats(0, 1)


@st.composite
def users(draw):
    """A user with any traits, of any values, as sure as may be."""

    def one(name, values, strength=None):
        return Trait(name, "all", draw(st.sampled_from(sorted(values))), strength, draw(SURE))

    rows = [
        one("lifecycle_stage", STAGES), one("taste_segment", SHOP.segment_names), one("platform", PLATFORMS),
        one("active_weekday", WEEKDAYS), one("price_level", PRICES), one("review_sentiment", MOODS),
        one("active_hour", [f"{h:02d}:00" for h in range(24)]),
        one("bargain_seeking", ["x"], draw(SHARES)), one("novelty_seeking", ["x"], draw(SHARES)),
        one("purchase_rhythm", ["x"], draw(st.floats(0.5, 400))),
        one("next_purchase", ["2026-10-30", "2026-11-30"]),
    ]  # fmt: skip
    for subject in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4)):
        kind = draw(st.sampled_from(["category_affinity", "brand_affinity"]))
        rows.append(Trait(kind, subject, "x", draw(SHARES), draw(SURE)))
    return draw(st.permutations(rows))[: draw(st.integers(1, len(rows)))]


@given(users())
def test_the_template_never_says_more_than_the_traits(rows):
    for text in portrait_texts(rows, SHOP):
        assert CHECK.faults(text, rows) == []


@given(users())
def test_what_a_text_says_is_missed_when_its_trait_is_gone(rows):
    for text in portrait_texts(rows, SHOP):
        for gone in rows:
            said = gone.subject if gone.subject != "all" else None
            if said and f"{said} (" in text and sum(r.subject == said for r in rows) == 1:
                assert CHECK.faults(text, [r for r in rows if r is not gone])


def test_a_segment_of_another_taste_than_the_user_s_own_is_not_named():
    shop = Shop("2026-10-31", {"t": ("Books shoppers", "爱逛图书的顾客")}, {})
    segment = Trait("taste_segment", "all", "t", None, 0.9)
    garden, books = (Trait("category_affinity", name, "0.6", 0.6, 0.9) for name in ("Garden", "Books"))
    assert "Books" not in portrait_texts([garden, segment], shop)[0]
    assert "one of the “Books shoppers”" in portrait_texts([books, segment], shop)[0]
    assert "one of the “Books shoppers”" in portrait_texts([segment], shop)[0]
