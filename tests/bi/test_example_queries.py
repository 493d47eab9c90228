"""Every example query answers, in DuckDB and in PostgreSQL, with the columns that it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bi.datasets import TABLES
from bi.example_queries import PAGE, ExampleQuery, example_queries, page
from tests.preview.small_shop import ITEMS, USERS

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]
QUERIES = {query.name[3:]: query for query in example_queries()}


def rows(ask: Ask, name: str) -> list[dict[str, Any]]:
    columns, found = ask(QUERIES[name].sql)
    return [dict(zip(columns, row, strict=True)) for row in found]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_it_answers_with_the_columns_that_it_says(query: ExampleQuery, ask: Ask) -> None:
    columns, found = ask(query.sql)
    assert tuple(columns) == query.returns
    assert found, "the shop of the tests has such rows"
    assert len(set(found)) == len(found)


def test_the_questions_cover_every_table() -> None:
    used = Counter(name for query in QUERIES.values() for name in set(re.findall(r"\w+", query.sql)))
    assert set(TABLES) <= set(used)


def test_each_is_asked_in_both_languages_and_numbered() -> None:
    for number, query in enumerate(QUERIES.values(), start=1):
        assert query.name.startswith(f"{number:02}_")
        assert re.fullmatch(r"[A-Z].+\? · .*[\u4e00-\u9fff].*？", query.title), query.title


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "renew it: python -m bi.example_queries"


def test_the_likeliest_purchase_comes_first_and_names_its_item(ask: Ask) -> None:
    first, *others = rows(ask, "who_is_about_to_buy_what")
    assert first["title"]
    assert all(first["probability"] >= other["probability"] for other in others)


def test_the_one_whose_stage_changed_is_found(ask: Ask) -> None:
    [changed] = rows(ask, "whose_stage_changed")
    assert (changed["stage_before"], changed["stage_now"]) == ("active", "loyal")


def test_shares_add_up(ask: Ask) -> None:
    reasons = rows(ask, "which_reasons_carry_the_lists")
    assert float(sum(row["share"] for row in reasons)) == pytest.approx(1, abs=0.001)
    assert sum(row["places"] for row in reasons) == USERS * 20
    days: Counter[Any] = Counter()
    for row in rows(ask, "how_do_stages_develop"):
        days[row["as_of_date"]] += row["users"]
    assert list(days.values()) == [USERS] * 2


def test_coverage_counts_each_item_once(ask: Ask) -> None:
    found = rows(ask, "how_much_of_the_catalogue_is_shown")
    on_sale = sum(n % 17 != 0 for n in range(ITEMS))
    assert sum(row["items"] for row in found) == on_sale
    hidden = len(rows(ask, "which_items_does_nobody_see"))
    assert sum(row["items_shown"] for row in found) == on_sale - hidden


def test_the_refusal_is_told_with_its_check(ask: Ask) -> None:
    [refused] = rows(ask, "why_was_a_run_refused")
    assert (refused["run_id"], refused["check_name"]) == ("refused", "Some item may be sold")
    newest = rows(ask, "how_did_the_last_runs_end")[0]
    assert (newest["status"], newest["is_latest"]) == ("refused", False)
    assert rows(ask, "is_todays_data_there")[0]["is_refused_since"] is True


def test_who_is_in_no_table_gets_what_is_popular(ask: Ask) -> None:
    """The query of docs/privacy.md: for a visitor, and for whoever did not consent."""
    (query,) = re.findall(r"```sql\n(select coalesce.*?)```", (ROOT / "docs/privacy.md").read_text(), re.DOTALL)

    def shown(user_id: str) -> list[Any]:
        return [item for (item,) in ask(query.replace("the pseudonym", user_id))[1]]

    ((known,), *_) = ask("select min(user_id) from home_recommendations where surface = 'home'")[1]
    theirs = (
        f"select item_id from home_recommendations where surface = 'home' and user_id = '{known}' order by rank"
    )
    assert shown(known) == [item for (item,) in ask(theirs)[1]]
    popular = [item for (item,) in ask("select item_id from hot_items where segment = 'all' order by rank")[1]]
    assert popular
    assert shown("nobody") == (popular + [None] * 20)[:20]
