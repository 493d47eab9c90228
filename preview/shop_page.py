"""The page of the whole shop: who its users are, what the lists hold, how good they are, what ran."""

from __future__ import annotations

from typing import Any

import streamlit as st

from preview import charts, shop
from preview.markup import Html, bar, heading, join, note, table, tag
from preview.reading import Reading, Rows
from preview.texts import Texts

#: Metrics drawn over the days, at this length of the list.
_DRAWN = ("recall", "ndcg", "coverage")
_DRAWN_AT = 10


def answers(reading: Reading) -> dict[str, Any]:
    """Ask everything that the page shows; the page keeps it for as long as the warehouse is the same."""
    return {
        "day": reading.run.as_of_date,
        "states": {
            name: reading.state(name)
            for name in (
                "user_portraits",
                "taste_segments",
                "item_portraits",
                "home_recommendations",
                "homepage_layouts",
                "recommendation_filters",
                "model_metrics",
                "data_quality_results",
            )
        },
        "headline": shop.headline(reading),
        "lifecycle": shop.lifecycle(reading),
        "rule_segments": shop.rule_segments(reading),
        "taste_segments": shop.taste_segments(reading),
        "chances": shop.chances(reading),
        "by_rank": shop.by_rank(reading),
        "sources": shop.shares(reading, "candidate_source"),
        "reasons": shop.shares(reading, "reason_code"),
        "modules": shop.modules(reading),
        "categories": shop.categories(reading),
        "concentration": shop.concentration(reading),
        "filters": shop.filter_counts(reading),
        "metrics": shop.metrics_over_days(reading),
        "slices": shop.metrics_by_segment(reading),
        "quality": shop.quality(reading),
        "not_passed": shop.not_passed(reading),
        "runs": shop.last_runs(reading),
    }


def show_shop(found: dict[str, Any], t: Texts) -> None:
    """Draw the page from the answers."""
    top = tag("div", tag("h1", t("view_shop")), tag("code", t("as_of", day=found["day"])), class_="qm-top")
    st.html(join([top, _headline(t, found["headline"])]))
    _who(t, found)
    _lists(t, found)
    _categories(t, found)
    _metrics(t, found)
    st.html(_filters(t, found))
    st.html(_quality(t, found))
    st.html(join([heading(t("runs")), _runs(t, found["runs"]), tag("p", t("as_written"), class_="qm-soft")]))


def _headline(t: Texts, figures: dict[str, Any]) -> Html:
    shown = t("of", a=f"{figures['items_shown']:,}", b=f"{figures['items_active']:,}")
    tiles = [
        (t("users_with_portrait"), f"{figures['users']:,}"),
        (t("users_with_list"), f"{figures['users_listed']:,}"),
        (t("places"), f"{figures['places']:,}"),
        (t("items_shown"), shown if figures["items_active"] else f"{figures['items_listed']:,}"),
        (t("exploration_share"), t.percent(figures["exploration"])),
        (t("promoted_share"), t.percent(figures["promoted"])),
    ]
    return tag(
        "div", *[tag("div", tag("b", value), tag("small", name)) for name, value in tiles], class_="qm-tiles"
    )


def _who(t: Texts, found: dict[str, Any]) -> None:
    left, right = st.columns(2, gap="medium")
    left.html(
        join(
            [
                heading(t("lifecycle_stage")),
                table(
                    ["", t("share"), t("users"), t("orders_90d"), t("amount_spent_90d")],
                    [
                        [
                            t.code("lifecycle_stage", row["lifecycle_stage"]),
                            bar(row["share"], t.percent(row["share"])),
                            f"{row['users']:,}",
                            t.number(row["orders_90d"]),
                            t.money(row["amount_spent_90d"]),
                        ]
                        for row in found["lifecycle"]
                    ],
                    numbers=(2, 3, 4),
                ),
            ]
        )
    )
    right.html(
        join([heading(t("segment")), _share_table(t, found["rule_segments"], "segment", "segment", "users")])
    )
    segments = [_segment(t, row) for row in found["taste_segments"]]
    body = tag("div", *segments, class_="qm-segments") if segments else _nothing(t, found, "taste_segments")
    st.html(join([heading(t("taste_segments")), body]))


def _segment(t: Texts, row: dict[str, Any]) -> Html:
    lifts = [
        t("lift", name=row[name], lift=t.number(row[f"{name}_lift"]))
        for name in ("top_category", "top_brand")
        if row[name] and row[f"{name}_lift"] is not None
    ]
    return tag(
        "div",
        tag("b", t.column(row, "name"), title=row["taste_segment"]),
        tag("span", f"{row['users']:,} · {t.percent(row['share'])}", class_="qm-aside"),
        tag("p", t.column(row, "description")),
        tag("p", f"{t('stands_out')}: {', '.join(lifts)}", class_="qm-soft") if lifts else "",
        tag(
            "p",
            f"{t('average_order_value')} {t.money(row['average_order_value'])} · {t('orders_90d')}"
            f" {t.number(row['orders_90d'])}",
            class_="qm-soft",
        ),
        class_="qm-box",
    )


def _lists(t: Texts, found: dict[str, Any]) -> None:
    st.html(heading(t("lists")))
    if not found["by_rank"]:
        st.html(_nothing(t, found, "home_recommendations"))
        return
    columns = st.columns(3, gap="medium")
    drawn = [
        (t("chances"), charts.histogram(found["chances"], t)),
        (t("by_rank"), charts.by_rank(found["by_rank"], t, "chance", t("chance_short"))),
        (t("score_by_rank"), charts.by_rank(found["by_rank"], t, "score", t("share"))),
    ]
    for column, (title, chart) in zip(columns, drawn, strict=True):
        column.html(tag("b", title))
        column.altair_chart(charts.dressed(chart), width="stretch", theme=None)
    st.html(tag("p", t("median_band"), class_="qm-soft"))
    left, right = st.columns(2, gap="medium")
    left.html(
        join([heading(t("sources")), _share_table(t, found["sources"], "name", "candidate_source", "places")])
    )
    right.html(join([heading(t("reasons")), _share_table(t, found["reasons"], "name", "reason_code", "places")]))
    st.html(join([heading(t("modules")), _modules(t, found)]))


def _share_table(t: Texts, rows: Rows, name: str, words: str, count: str) -> Html:
    cells = [
        [t.code(words, row[name]), bar(row["share"], t.percent(row["share"])), f"{row[count]:,}"] for row in rows
    ]
    return table(["", t("share"), t(count)], cells, numbers=(2,))


def _modules(t: Texts, found: dict[str, Any]) -> Html:
    if not found["modules"]:
        return _nothing(t, found, "homepage_layouts")
    rows = [
        [
            t.code("module", row["module"]),
            f"{row['users']:,}",
            f"{row['slots']:,}",
            t.percent(row["chance"]),
            bar(row["share_of_value"], t.percent(row["share_of_value"])),
        ]
        for row in found["modules"]
    ]
    header = [t(name) for name in ("module", "users", "slots", "chance_short", "share_of_value")]
    return table(header, rows, numbers=(1, 2, 3))


def _categories(t: Texts, found: dict[str, Any]) -> None:
    if not found["categories"]:
        st.html(join([heading(t("coverage")), _nothing(t, found, "item_portraits")]))
        return
    top = max(row[name] or 0 for row in found["categories"] for name in ("share_of_places", "share_of_sales")) or 1
    rows = [
        [
            row["category"] or t("unknown"),
            bar((row["share_of_places"] or 0) / top, t.percent(row["share_of_places"])),
            bar((row["share_of_sales"] or 0) / top, t.percent(row["share_of_sales"]), "qm-second"),
            t("of", a=f"{row['items_shown']:,}", b=f"{row['items_active']:,}"),
        ]
        for row in found["categories"]
    ]
    header = [t(name) for name in ("category", "share_of_places", "share_of_sales", "shown_of_active")]
    said = found["concentration"]
    pieces = [heading(t("coverage")), table(header, rows, numbers=(3,))]
    if said["top_10"] is not None and found["states"]["item_portraits"] == "there":
        shares = {name: t.percent(said[name]) for name in ("top_1", "top_10")}
        pieces.append(tag("p", t("concentration", **shares), class_="qm-soft"))
    st.html(join(pieces))


def _metrics(t: Texts, found: dict[str, Any]) -> None:
    st.html(join([heading(t("metrics"), t("metrics_days"))]))
    rows = [row for row in found["metrics"] if row["k"] == _DRAWN_AT]
    if not rows:
        st.html(_nothing(t, found, "model_metrics"))
        return
    for column, metric in zip(st.columns(len(_DRAWN), gap="medium"), _DRAWN, strict=True):
        of_metric = [row for row in rows if row["metric"] == metric]
        if of_metric:
            title = f"{t.code('metric', metric)}@{_DRAWN_AT}"
            column.html(tag("b", title))
            chart = charts.dressed(charts.metric_over_days(of_metric, t, title))
            column.altair_chart(chart, width="stretch", theme=None)
    if len({row["as_of_date"] for row in rows}) == 1:
        st.html(note(t("one_day")))
    cells = [
        [
            f"{t.code('metric', row['metric'])}@{row['k']}",
            t.code("segment", row["segment"]),
            row["model"],
            f"{row['value']:.4f}",
            f"{row['value_low']:.4f} – {row['value_high']:.4f}",
            f"{row['baseline_value']:.4f}",
            f"{row['users']:,}",
            t.code("protocol", row["protocol"]),
        ]
        for row in found["slices"]
    ]
    header = [
        t(n) for n in ("metric", "segment", "model", "metric_value", "interval", "baseline", "users", "protocol")
    ]
    st.html(
        tag(
            "details",
            tag("summary", t("metrics_slices")),
            table(header, cells, numbers=(3, 4, 5, 6)),
            class_="qm-more",
        )
    )


def _filters(t: Texts, found: dict[str, Any]) -> Html:
    if not found["filters"]:
        return join([heading(t("filters")), _nothing(t, found, "recommendation_filters")])
    top = max(row["items"] for row in found["filters"])
    rows = [
        [
            t.code("rule", row["rule"]),
            t.code("action", row["action"]),
            bar(row["items"] / top, f"{row['items']:,}"),
            f"{row['users']:,}",
        ]
        for row in found["filters"]
    ]
    header = [t(name) for name in ("rule", "action", "items_touched", "users")]
    return join([heading(t("filters")), table(header, rows, numbers=(3,))])


def _quality(t: Texts, found: dict[str, Any]) -> Html:
    rows = [
        [
            t.code("stage", row["stage"]),
            tag("code", row["table_name"], class_="qm-id"),
            f"{row['checks']:,}",
            f"{row['passed']:,}",
            f"{row['warned']:,}" if row["warned"] else "–",
            f"{row['rows_checked']:,}",
        ]
        for row in found["quality"]
    ]
    header = [t(name) for name in ("stage", "table", "checks", "passed", "warned", "rows_checked")]
    pieces = [heading(t("quality"))]
    if not rows:
        return join([*pieces, _nothing(t, found, "data_quality_results")])
    failed = [
        [
            t.moment(row["as_of_date"]),
            tag("code", row["table_name"], class_="qm-id"),
            row["check_name"],
            t.code("status", row["status"]),
            row["observed"] or "–",
            row["threshold"] or "–",
        ]
        for row in found["not_passed"]
    ]
    if failed:
        names = [t(name) for name in ("day", "table", "check", "status", "observed")]
        pieces += [tag("p", tag("b", t("not_passed"))), table(names, [row[:5] for row in failed])]
    else:
        pieces.append(tag("p", t("all_passed")))
    return join([*pieces, table(header, rows, numbers=(2, 3, 4, 5))])


def _runs(t: Texts, runs: Rows) -> Html:
    rows = [
        [
            t.moment(row["as_of_date"]),
            tag(
                "span",
                t.code("status", row["status"]),
                class_=f"qm-mark qm-mark-{'new' if row['status'] == 'published' else 'gone'}",
            ),
            tag("span", t("in_place"), class_="qm-mark") if row["is_latest"] else "",
            row["decision"],
            t.number(row["rows_in"]),
            t.number(row["rows_quarantined"]),
            t.number(row["published_rows"]),
            t.moment(row["published_at"] or row["ended_at"]),
        ]
        for row in runs
    ]
    header = [
        t("day"),
        t("status"),
        "",
        *(t(n) for n in ("decision", "rows_in", "quarantined", "published_rows")),
        "UTC",
    ]
    return table(header, rows, numbers=(4, 5, 6))


def _nothing(t: Texts, found: dict[str, Any], name: str) -> Html:
    """Say why a table shows nothing: not published on that day, or empty."""
    state = found["states"][name]
    return note(t("empty" if state == "there" else state, table=name))
