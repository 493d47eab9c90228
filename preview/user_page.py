"""The page of one user: portrait, traits, home page, list, what rules did, yesterday beside today."""

from __future__ import annotations

from typing import Any

import streamlit as st

from preview import people
from preview.markup import (
    Html,
    badges,
    bar,
    card,
    evidence_name,
    item_name,
    join,
    note,
    table,
    tag,
    why_nothing,
    why_panel,
)
from preview.portrait import portrait_box, traits_section
from preview.reading import Reading, Rows
from preview.texts import Texts
from preview.user_changes import changes_section


def show_user(reading: Reading, t: Texts, user_id: str) -> None:
    """Draw the page of one user on the day that is read."""
    day = reading.run.as_of_date
    about = people.portrait(reading, user_id)
    if about is None:
        st.html(join([note(t("no_user", user=user_id, day=day)), note(t("no_user_do"))]))
        return
    traits = people.traits(reading, user_id)
    st.html(tag("div", tag("h1", t("portrait")), tag("code", user_id), class_="qm-top"))
    st.html(portrait_box(t, reading, about, traits))

    page, ranked = people.page(reading, user_id), people.ranked_list(reading, user_id)
    explained = people.explanations(reading, user_id)
    titles = people.item_titles(reading, _evidence_items([*page, *ranked]))
    names = ("tab_page", "tab_traits", "tab_list", "tab_filters", "tab_changes")
    tabs = st.tabs([t(name) for name in names])
    tabs[0].html(page_section(t, reading, page, ranked, explained, titles))
    tabs[1].html(traits_section(t, reading, about, traits))
    tabs[2].html(list_section(t, reading, ranked, titles))
    tabs[3].html(filters_section(t, reading, people.filters(reading, user_id)))
    tabs[4].html(changes_section(t, reading, user_id, about, traits, page or people.as_page(ranked)))


def page_section(
    t: Texts, reading: Reading, page: Rows, ranked: Rows, explained: dict[str, Rows], titles: dict[str, str]
) -> Html:
    """Draw the home page as a shopper would see it: modules as rows of cards."""
    above: list[Html] = []
    below: list[Html] = []
    if not page:
        above.append(why_nothing(t, reading, "homepage_layouts"))
        if not ranked:
            return join([*above, why_nothing(t, reading, "home_recommendations")])
        above.append(note(t("no_page_list_instead")))
        page = people.as_page(ranked)
    elif not any(row["content_type"] == "campaign" for row in page):
        below.append(note(t("no_campaign")))
    if reading.state("item_portraits") == "missing":
        above.append(note(t("no_item_portraits")))
    rows: dict[int, Rows] = {}
    for row in page:
        rows.setdefault(row["module_rank"], []).append(row)
    modules = [_module(t, module, explained, titles) for _, module in sorted(rows.items())]
    return join([*above, tag("p", t("hover_hint"), class_="qm-soft"), *modules, *below])


def _module(t: Texts, rows: Rows, explained: dict[str, Rows], titles: dict[str, str]) -> Html:
    title, kind = t.column(rows[0], "module_title"), t.code("module", rows[0]["module"])
    if rows[0]["content_type"] == "campaign":
        title = kind  # the campaign's card bears the module's title
    aside = tag("span", kind, class_="qm-aside") if kind != title else ""
    cards = [_card(t, row, explained, titles) for row in rows]
    return tag("section", tag("h4", title, aside), tag("div", *cards, class_="qm-cards"), class_="qm-module")


def _card(t: Texts, row: dict[str, Any], explained: dict[str, Rows], titles: dict[str, str]) -> Html:
    panel = why_panel(t, row, _named(t, row, titles), explained.get(row["recommendation_id"] or "", []))
    return card(t, row, panel)


def list_section(t: Texts, reading: Reading, ranked: Rows, titles: dict[str, str]) -> Html:
    """Draw the ranked list as a table: what, how likely, from where, why."""
    if not ranked:
        return why_nothing(t, reading, "home_recommendations")
    top = max(row["probability"] for row in ranked) or 1.0
    rows = [
        [
            row["rank"],
            tag("span", item_name(row), " ", badges(t, row)),
            row["brand"] or "–",
            row["category"] or "–",
            t.money(row["price"]) if row["price"] is not None else "–",
            bar(row["probability"] / top, t.percent(row["probability"])),
            t.code("candidate_source", row["candidate_source"]),
            tag("span", t.column(row, "reason_text"), title=_named(t, row, titles)),
            tag("span", t.number(row["contribution"]), title=_of_score(t, row)),
        ]
        for row in ranked
    ]
    header = [
        "#",
        *(
            t(n)
            for n in ("item", "brand", "category", "price", "chance_short", "source", "reason", "contribution")
        ),
    ]
    return table(header, rows, numbers=(0, 4, 8))


def _of_score(t: Texts, row: dict[str, Any]) -> str:
    part, score = row["contribution"], row["score"]
    return t("contribution_of", share=t.percent(part / score)) if 0 <= part <= score and score > 0 else ""


def filters_section(t: Texts, reading: Reading, rows: Rows) -> Html:
    """Draw what rules did to items of this user, with the places before and after in words."""
    if not rows:
        return why_nothing(t, reading, "recommendation_filters")
    cells = [
        [
            tag("span", item_name(row), " ", tag("span", row["category"] or "", class_="qm-aside")),
            tag("span", t.code("rule", row["rule"]), title=row["rule_id"] or row["rule_version"]),
            tag("span", t.code("action", row["action"]), class_=f"qm-mark qm-mark-{_tone(row['action'])}"),
            t.places(row["rank_before"], row["rank_after"]),
            tag("span", t.column(row, "detail"), class_="qm-soft"),
        ]
        for row in rows
    ]
    return table([t(name) for name in ("item", "rule", "action", "place", "detail")], cells)


def _tone(action: str) -> str:
    return {"removed": "gone", "moved_up": "new", "inserted": "new"}.get(action, "same")


def _evidence_items(rows: Rows) -> list[str]:
    return sorted({row["evidence_id"] for row in rows if row["evidence_type"] == "item" and row["evidence_id"]})


def _named(t: Texts, row: dict[str, Any], titles: dict[str, str]) -> str:
    return evidence_name(t, {**row, "evidence_title": titles.get(row["evidence_id"] or "")})
