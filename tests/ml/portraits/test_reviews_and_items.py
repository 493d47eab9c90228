"""Sentiment, key phrases, and the figures of an item."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from ml.portraits.evidence import Reviews
from ml.portraits.item_portraits import buyer_segments, conversion, trend
from ml.portraits.key_phrases import key_phrases, terms_of
from ml.portraits.sentiment import judge, text_model

GOOD = (
    "质量很好，非常满意",
    "Great quality, very happy with it",
    "物流快，孩子很喜欢",
    "Works perfectly, recommended",
)
BAD = ("质量太差，要求退货", "Broke at once, very poor", "味道刺鼻，后悔买了", "Does not work, waste of money")


def reviews(texts, stars) -> Reviews:
    n = len(texts)
    return Reviews(
        np.arange(n) % 3, np.zeros(n, dtype=np.int64), np.arange(n, dtype=float), np.array(stars, dtype=float),
        np.array(texts, dtype=object),
    )  # fmt: skip


def starred(n: int = 400) -> tuple[list[str], list[float]]:
    rng = np.random.default_rng(0)
    kind = rng.random(n) < 0.5
    texts = [
        f"{(GOOD if k else BAD)[int(rng.integers(4))]} {(GOOD if k else BAD)[int(rng.integers(4))]}" for k in kind
    ]
    return texts, [5.0 if k else 1.0 for k in kind]


def test_words_are_judged_once_stars_have_taught_them():
    texts, stars = starred()
    found = judge(
        reviews([*texts, "质量很好，物流快", "very poor, waste of money", "", ""], [*stars, 3, np.nan, 5, np.nan])
    )
    assert found.report["source"] == "text"
    assert found.report["held_out_balanced_accuracy"] > 0.95
    good, bad, only_stars, nothing = found.sentiment[-4:]
    assert good > 0.5, "the words count, not the stars"
    assert bad < -0.5
    assert only_stars == 1.0
    assert np.isnan(nothing)
    assert found.from_text[-4:].tolist() == [True, True, False, False]


def test_too_few_texts_are_judged_by_their_stars():
    found = judge(reviews(["很好", "差", "还行", "好"], [5, 1, 3, np.nan]))
    assert found.report["source"] == "stars"
    assert found.sentiment.tolist() == [1.0, -1.0, 0.0, pytest.approx(np.nan, nan_ok=True)]
    assert "fewer than 30" in found.report["why"]


def test_texts_that_say_nothing_are_judged_by_their_stars():
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abcdef"), 20)) for _ in range(600)]
    found = judge(reviews(texts, rng.choice([1.0, 5.0], 600)))
    assert found.report["source"] == "stars"
    assert "too badly" in found.report["why"]
    assert 0.35 < found.report["held_out_accuracy"] < 0.65


def test_the_same_reviews_give_the_same_numbers():
    texts, stars = starred()
    assert judge(reviews(texts, stars)).sentiment.tobytes() == judge(reviews(texts, stars)).sentiment.tobytes()


def test_real_chinese_reviews_are_told_apart(shared_data):
    file = shared_data("zh_online_shopping_10_cats") / "reviews.parquet"
    rows = duckdb.execute(
        f"select review, label from '{file}' where review is not null order by md5(review), label limit 12000"
    ).fetchall()
    texts, labels = np.array([r for r, _ in rows], dtype=object), np.array([label for _, label in rows])
    model = text_model().fit(texts[:10_000], labels[:10_000])
    assert np.mean(model.predict(texts[10_000:]) == labels[10_000:]) > 0.91


def test_terms_are_chinese_words_other_words_and_pairs_of_these():
    assert terms_of("蓝牙耳机 Voltix Pro wireless, 45mm!") == [
        "蓝牙", "耳机", "voltix", "pro", "voltix pro", "wireless", "pro wireless",
    ]  # fmt: skip
    assert terms_of("the best of 的 了") == []


def test_what_one_item_says_more_than_others_is_its_phrase():
    titles = ["Lumora 蓝牙耳机", "Lumora 平底锅", "Lumora 连衣裙"]
    said = [(0, "降噪很好"), (0, "降噪不错，音质"), (1, "不粘，好清洗"), (1, "好清洗"), (2, "Arrived fast")]
    found = [text.split(", ") for text in key_phrases(titles, said)]
    assert "降噪" in found[0]
    assert "音质" not in found[0], "said only once, and not by the title"
    assert "平底锅" in found[1]
    assert found[0][-1] == "lumora", "what all say tells least"
    assert key_phrases(["", "?"], []) == ["", ""]


def test_no_more_reviews_of_an_item_are_read_than_needed():
    said = [(0, "好喝"), (0, "香气"), (0, "香气"), (0, "香气")]
    assert key_phrases(["茶壶"], said, most_reviews=2) == ["茶壶"]
    assert key_phrases(["茶壶"], said, most_reviews=3) == ["香气, 茶壶"]


def test_trend_conversion_and_their_priors():
    week, month, age = np.array([7.0, 0, 7, 7]), np.array([30.0, 23, 30, 30]), np.array([900.0, 900, 13, 20])
    found = trend(week, month, age)
    assert found[0] == pytest.approx(1.1 / 1.1)
    assert found[1] == pytest.approx(0.1 / 1.1)
    assert np.isnan(found[2]), "in its first two weeks nothing was before"
    assert found[3] == pytest.approx(1.1 / (23 / 13 + 0.1)), "of 20 days, 13 were before"
    rates = conversion(np.array([0.0, 50.0]), np.array([0.0, 450.0]))
    assert rates == pytest.approx([50 / 450, (50 + 50 * 50 / 450) / 500])
    assert np.isnan(conversion(np.array([3.0]), np.array([0.0]))).all()


def test_the_segment_that_buys_an_item_more_than_others():
    from types import SimpleNamespace

    user = np.repeat(np.arange(20), 2)
    item = np.where(np.arange(40) % 2 == 0, np.where(user < 10, 0, 1), 2)
    evidence = SimpleNamespace(
        actions=SimpleNamespace(user=user, item=item, is_purchase=np.ones(40, dtype=bool)),
        goods=SimpleNamespace(item_ids=np.arange(4)), people=np.zeros(20),
    )  # fmt: skip
    names, lift = buyer_segments(evidence, (np.arange(20) >= 10).astype(int), np.array(["s", "t"], dtype=object))
    assert names.tolist() == ["s", "t", None, None]
    # 10 of its 10 buyers are of s, as are half of all: (10 + 20 x 0.5) / 30 / 0.5
    assert lift[:2] == pytest.approx([4 / 3, 4 / 3])
