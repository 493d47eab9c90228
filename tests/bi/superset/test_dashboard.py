"""The dashboard in a real Superset: every chart draws, shows what the tables hold, and follows a publishing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser

from qianmian.ports import LOOPBACK
from qianmian.postgres import Postgres
from tests.bi.conftest import publish_to
from tests.bi.superset.conftest import ROOT, Served, Shop
from tests.bi.superset.visit import Visit, visit
from tests.bi.test_assets import CHARTS, DASHBOARD
from tests.preview.small_shop import DAYS, publish_day

TITLES = {name: chart["slice_name"] for name, chart in CHARTS.items()}
#: Where nothing is wrong these have nothing to show, and say so themselves.
EMPTY_IS_GOOD = {TITLES[name] for name in ("checks_not_passed", "refused_checks", "never_shown")}


@pytest.fixture(scope="module")
def seen(browser: Browser, served: Served) -> Iterator[Visit]:
    pictures = ROOT / "test-artifacts" / served.reads
    pictures.mkdir(parents=True, exist_ok=True)
    with visit(browser, served) as visitor:
        visitor.open_every_tab(pictures)
        yield visitor


def query(shop: Shop, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def figure(seen: Visit, name: str) -> float:
    """The one number of a chart."""
    [row] = seen.rows[TITLES[name]]
    [value] = row.values()
    return float(value)


def test_every_chart_is_asked_for_and_answered(seen: Visit) -> None:
    assert seen.refused == []
    assert set(seen.rows) == set(TITLES.values())
    assert {name for name, rows in seen.rows.items() if not rows} <= EMPTY_IS_GOOD


def test_every_chart_is_drawn_on_its_tab(seen: Visit) -> None:
    position = DASHBOARD["position"]
    tabs = [node for node in position.values() if isinstance(node, dict) and node["type"] == "TAB"]
    wanted = {tab["meta"]["text"]: sum(len(position[row]["children"]) for row in tab["children"]) for tab in tabs}
    assert seen.drawn == wanted
    assert seen.in_error == []


def test_nothing_comes_from_another_host(seen: Visit) -> None:
    assert seen.hosts <= {LOOPBACK, ""}


def test_figures_are_those_of_the_tables(seen: Visit, shop: Shop) -> None:
    assert figure(seen, "users") == query(shop, "select count(*) from user_portraits")[0][0]
    assert figure(seen, "places") == query(shop, "select count(*) from home_recommendations")[0][0]
    [(share,)] = query(
        shop,
        "select count(distinct r.item_id) / count(distinct i.item_id) from item_portraits i"
        " left join home_recommendations r using (item_id) where i.is_active",
    )
    assert figure(seen, "shown_share") == pytest.approx(share)
    spent = query(shop, "select avg(amount_spent_90d) from user_portraits")[0][0]
    assert figure(seen, "average_spent") == pytest.approx(spent)


def test_groups_are_those_of_the_tables(seen: Visit, shop: Shop) -> None:
    stages = {row["lifecycle_stage"]: row["users"] for row in seen.rows[TITLES["lifecycle_stages"]]}
    assert stages == dict(query(shop, "select lifecycle_stage, count(*) from user_portraits group by 1"))
    rules: Counter[str] = Counter()
    for row in seen.rows[TITLES["rules"]]:
        rules[row.pop("rule")] += sum(times or 0 for times in row.values())
    assert rules == dict(query(shop, "select rule, count(*) from recommendation_filters group by 1"))
    metrics = {row["metric_at_k"]: row for row in seen.rows[TITLES["metrics"]]}
    [(value, baseline)] = query(
        shop,
        "select value, baseline_value from model_metrics where metric = 'recall' and k = 10 and segment = 'all'"
        " and protocol in ('days_after', 'held_out')",
    )
    shown = sorted(figure for figure in metrics["recall@10"].values() if isinstance(figure, float))
    assert shown == pytest.approx(sorted((value, baseline)))


def sql_lab(seen: Visit, sql: str) -> dict[str, Any]:
    """Run a query as SQL Lab does, and return what came back."""
    request = seen.page.request
    token = request.get(f"{seen.url}/api/v1/security/csrf_token/").json()["result"]
    [database] = request.get(f"{seen.url}/api/v1/database/").json()["result"]
    answer = request.post(
        f"{seen.url}/api/v1/sqllab/execute/",
        data={"database_id": database["id"], "sql": sql, "runAsync": False},
        headers={"X-CSRFToken": token, "Referer": seen.url},
    )
    return dict(answer.json())


def test_sql_lab_reads_tables_and_history_and_nothing_else(seen: Visit, served: Served, shop: Shop) -> None:
    schema = "main." if served.reads == "duckdb" else "shop."
    [row] = sql_lab(seen, f"select count(*) as users from {schema}user_portraits_history")["data"]
    assert row["users"] == query(shop, "select count(*) from user_portraits_history")[0][0]
    key = Path(shop.home, "secrets", "pseudonym.key")
    assert key.exists()
    if served.reads == "duckdb":
        refused = dict.fromkeys(
            (
                f"select * from read_text('{key}')",
                f"select * from read_parquet('{shop.folder}/lake/outputs/**/*.parquet')",
                "attach 'mine.duckdb'",
            ),
            "file system operations are disabled",
        )
        refused["set enable_external_access = true"] = "configuration has been locked"
    else:
        refused = {
            f"select pg_read_file('{key}')": "disallowed function",  # Superset's own list
            "select * from shop_sets.current_set": "permission denied",
        }
    for sql in (f"create table {schema}mine (a int)", f"delete from {schema}user_portraits"):
        refused[sql] = "does not allow for DDL/DML"
    for sql, why in refused.items():
        [error] = sql_lab(seen, sql)["errors"]
        assert why in error["message"], sql


def test_a_publishing_is_seen_without_a_restart(
    seen: Visit, served: Served, shop: Shop, server: Postgres, tmp_path: Path
) -> None:
    runs = len(seen.rows[TITLES["runs"]])
    day, users = ("2026-11-02", 10) if served.reads == "postgres" else (DAYS[-1], 16)
    publish_day(shop.folder, day, f"run-{day}", runs + 24, users=users)
    if served.reads == "postgres":
        publish_to(server, shop.warehouse)
    seen.open_every_tab(tmp_path)
    assert seen.refused == []
    assert len(seen.rows[TITLES["runs"]]) == runs + 1
    assert figure(seen, "users") == users
    [fresh] = seen.rows[TITLES["freshness"]]
    assert fresh["last_run_status"] == "published"
    days = query(shop, "select count(distinct as_of_date) from user_portraits_history")[0][0]
    assert len(seen.rows[TITLES["lifecycle_by_day"]]) == days
