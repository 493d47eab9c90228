"""Every word stands in both languages, and every value that the contract names has words."""

from __future__ import annotations

import re
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from string import Formatter

import pytest

import preview
from expectations.tables import OUTPUTS, PUBLISHED
from ml.explain.reasons import CODES as REASONS
from preview.markup import tag, text
from preview.reading import UnreadableError
from preview.texts import Texts
from preview.words import CODES, SAID

EN, ZH = Texts("en", "CNY"), Texts("zh", "CNY")
HAN = re.compile(r"[\u4e00-\u9fff]")
SOURCE = "\n".join(
    path.read_text().replace("'", '"') for path in sorted(Path(str(preview.__file__)).parent.glob("*.py"))
)
#: Words that are the same in Chinese.
SAME = {"NDCG", "iOS", "Android", "{name} ×{lift}", "{hour}:00", "{a} / {b}", "7 / 30 / 90 / 365 days"}


def pairs() -> list[tuple[str, str]]:
    return [*SAID.values(), *chain.from_iterable(words.values() for words in CODES.values())]


def test_both_languages_say_it_with_the_same_values_in_it() -> None:
    assert len(pairs()) > 300
    for english, chinese in pairs():
        names = [sorted(name for _, name, _, _ in Formatter().parse(said) if name) for said in (english, chinese)]
        assert names[0] == names[1], english
        assert not HAN.search(english), english
        assert HAN.search(chinese) or chinese in SAME, chinese


def test_every_word_that_a_page_asks_for_is_there_and_every_word_is_asked_for() -> None:
    asked = set(re.findall(r'\b(?:t|self)\(\s*"(\w+)"', SOURCE))
    assert len(asked) > 100
    assert asked <= set(SAID)
    unused = [key for key in SAID if f'"{key}"' not in SOURCE.replace(f'    "{key}": (', "")]
    made = ("suggest_", "badge_", "trait_", "view_")  # put together from a code
    assert [key for key in unused if not key.startswith(made) and not key.endswith("_do")] == []


def test_what_cannot_be_read_has_words_and_a_remedy() -> None:
    keys = set(re.findall(r'UnreadableError\(\s*"(\w+)"', SOURCE))
    assert len(keys) == 5
    assert all(key in SAID and f"{key}_do" in SAID for key in keys)
    assert UnreadableError("locked", file="a").values == {"file": "a"}


@pytest.mark.parametrize(
    ("table", "column", "code"),
    [
        ("user_traits", "trait", "trait"),
        ("home_recommendations", "candidate_source", "candidate_source"),
        ("home_recommendations", "reason_code", "reason_code"),
        ("recommendation_filters", "rule", "rule"),
        ("recommendation_filters", "action", "action"),
        ("homepage_layouts", "module", "module"),
        ("homepage_layouts", "evidence_type", "evidence_type"),
        ("user_portraits", "lifecycle_stage", "lifecycle_stage"),
    ],
)
def test_values_that_the_contract_lists_have_words(table: str, column: str, code: str) -> None:
    described = next(c.description for c in PUBLISHED[table].columns if c.name == column)
    listed = re.sub(r"\(.*?\)", "", described).split(":")[-1].rstrip(".").replace(" or ", ", ")
    values = [word.strip() for word in listed.split(",")]
    values = [value for value in values if re.fullmatch(r"[a-z_]+", value)]
    assert len(values) > 2
    assert [value for value in values if value not in CODES[code]] == []


def test_reasons_that_models_give_have_words() -> None:
    assert set(REASONS) <= set(CODES["reason_code"])


def test_columns_of_a_portrait_that_may_change_have_words() -> None:
    silent = {
        "user_id",
        "portrait_text",
        "portrait_text_zh",
        "as_of_date",
        "run_id",
        "model_version",
        "generated_at",
    }
    names = set(PUBLISHED["user_portraits"].column_names) - silent
    assert names - set(CODES["column"]) == set()
    assert {c.name for c in OUTPUTS["user_profiles"].columns} <= set(CODES["column"]) | silent


def test_a_value_without_words_is_spelled_out() -> None:
    assert ZH.code("rule", "rule_of_tomorrow") == "rule of tomorrow"
    assert EN.code("rule", None) == "not known"


def test_numbers() -> None:
    assert [EN.money(value) for value in (12.5, 1234.5, -3, None)] == ["¥12.50", "¥1,234", "−¥3.00", "–"]
    assert Texts("en", "XXX").money(1) == "XXX 1.00"
    assert [EN.percent(value) for value in (0.284, 0.0284, 0.00284, 0.0, 1.0)] == [
        "28%",
        "2.8%",
        "0.28%",
        "0%",
        "100%",
    ]
    assert [EN.number(value) for value in (3, 0.123, 12.34, 12345.6)] == ["3", "0.12", "12.3", "12,346"]
    assert EN.moment(datetime(2026, 10, 31, 6, 5)) == "2026-10-31 06:05"
    assert EN.moment(date(2026, 10, 31)) == "2026-10-31"


def test_places_in_words() -> None:
    assert EN.places(4, 13) == "from place 4 to place 13"
    assert EN.places(2, None) == "from place 2 to out of the list"
    assert EN.places(None, 12) == "from no place to place 12"
    assert EN.places(None, None) == "had no place, stays out of the list"
    assert ZH.places(4, 13) == "由第 4 名到第 13 名"


def test_what_comes_from_a_table_is_escaped() -> None:
    assert tag("b", "<script>", tag("i", "&"), title='"') == '<b title="&quot;">&lt;script&gt;<i>&amp;</i></b>'
    assert text(tag("b", 1)) == "<b>1</b>"
