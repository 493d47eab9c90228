"""The suites are held equal to the tables: a suite for each table, about columns that it has."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from expectations.checks import RowCheck, Suite
from expectations.suites import CLEAN_SUITES, PUBLISHED_SUITES
from expectations.tables import CLEAN, PUBLISHED

SUITES = [*CLEAN_SUITES.values(), *PUBLISHED_SUITES.values()]
#: Required in the feed, but empty for an anonymous visitor.
MAY_BE_EMPTY = {("events", "user_id")}
#: Filled by the publisher, who checks them.
OF_THE_RUN = {"as_of_date", "run_id", "model_version", "generated_at"}


def test_every_table_has_its_suite() -> None:
    assert set(CLEAN_SUITES) == set(CLEAN)
    assert set(PUBLISHED_SUITES) == set(PUBLISHED)
    assert {suite.stage for suite in CLEAN_SUITES.values()} == {"clean"}
    assert {suite.stage for suite in PUBLISHED_SUITES.values()} == {"tables"}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.source)
def test_checks_are_about_columns_of_the_table(suite: Suite) -> None:
    named = {column for check in suite.checks if isinstance(check, RowCheck) for column in check.reads} | {
        check.column for check in suite.checks if check.column and ", " not in check.column
    }
    assert named <= set(suite.table.column_names)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.source)
def test_every_required_column_is_checked(suite: Suite) -> None:
    checked = {
        check.column
        for check in suite.checks
        if isinstance(check, RowCheck) and check.expectation == "expect_column_values_to_not_be_null"
    }
    wanted = {column for column in suite.table.required if (suite.table.name, column) not in MAY_BE_EMPTY}
    if suite.stage == "tables":
        wanted -= OF_THE_RUN
    assert checked == wanted


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.source)
def test_the_key_is_checked(suite: Suite) -> None:
    (check,) = [check for check in suite.checks if re.fullmatch(r"No .+ stands twice", check.name)]
    assert check.severity == "error"
    assert set((check.column or "").split(", ")) >= set(suite.table.key)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.source)
def test_checks_read_as_sentences_with_a_remedy(suite: Suite) -> None:
    names = Counter(check.name for check in suite.checks)
    assert max(names.values()) == 1, "a check's name is its key"
    for check in suite.checks:
        assert check.name[0].isupper()
        assert " " in check.name
        assert check.remedy.endswith(".")
        assert check.threshold
