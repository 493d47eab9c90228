"""The bench's made-up tables are what the step reads, and its pages have every module."""

from __future__ import annotations

from pathlib import Path

from bench.pages import in_its_own_process, make_lake, pages, rerank
from ml.homepage.settings import MODULES


def test_a_small_shop_made_up_in_size_has_pages_with_every_module(tmp_path: Path) -> None:
    rows = make_lake(tmp_path / "lake", users=300, items=400)
    assert rows["home_recommendations"] == 300 * 20
    report = pages(tmp_path / "lake")
    assert report["users"] == 300
    assert report["homepage_layouts"] > 300 * 20
    assert all(report["users_with_module"][module] for module in MODULES)


def test_the_re_rank_fills_every_list() -> None:
    figures = in_its_own_process(rerank, 100, 300)
    assert figures["rows"] == 100 * 20
    assert figures["peak_memory_mib"] > 0
