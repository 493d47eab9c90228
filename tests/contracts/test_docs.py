"""The pages of columns say what the tables say; `python -m expectations.describe` renews them."""

from expectations import describe


def test_feeds_page_is_current() -> None:
    assert (describe.DOCS / "feeds.md").read_text() == describe.feeds_page()


def test_tables_page_is_current() -> None:
    assert (describe.DOCS / "tables.md").read_text() == describe.tables_page()
