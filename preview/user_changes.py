"""Yesterday beside today for one user: portrait, traits, page."""

from __future__ import annotations

from typing import Any

from preview import changes, people
from preview.markup import Html, bar, heading, item_name, join, note, table, tag
from preview.portrait import trait_value
from preview.reading import Reading, Rows
from preview.texts import Texts


def changes_section(
    t: Texts, reading: Reading, user_id: str, about: dict[str, Any], traits: Rows, page: Rows
) -> Html:
    """Draw what is different from the day published before: portrait, traits, page beside page."""
    day = reading.run.as_of_date
    if reading.before is None:
        return note(t("no_before", day=day))
    earlier = reading.before.as_of_date
    was = people.portrait(reading, user_id, "before")
    if was is None:
        return note(t("not_there_before", day=earlier))
    page_was = people.page(reading, user_id, "before") or people.as_page(
        people.ranked_list(reading, user_id, "before")
    )
    head = tag("p", t("before_day", day=earlier), class_="qm-soft")
    return join(
        [
            head,
            _portrait_changes(t, was, about),
            _trait_changes(t, reading, user_id, about, traits),
            _beside(t, earlier, day, page_was, page),
        ]
    )


def _portrait_changes(t: Texts, was: dict[str, Any], now: dict[str, Any]) -> Html:
    found = changes.portrait_changes(was, now)
    segments = {r["taste_segment"]: t.column(r, "taste_name") or r["taste_segment"] for r in (was, now)}

    def said(name: str, value: Any) -> str:
        return str(segments.get(value) or t("unknown")) if name == "taste_segment" else t.value(name, value)

    rows = [[t.code("column", c.name), said(c.name, c.before), said(c.name, c.after)] for c in found]
    days = [t.moment(was["as_of_date"]), t.moment(now["as_of_date"])]
    return join([heading(t("portrait_changes")), table(["", *days], rows) if rows else note(t("nothing_changed"))])


def _trait_changes(t: Texts, reading: Reading, user_id: str, about: dict[str, Any], traits: Rows) -> Html:
    if reading.state("user_traits") == "missing" or reading.state("user_traits", "before") == "missing":
        return join([heading(t("trait_changes")), note(t("missing", table="user_traits"))])
    found = changes.trait_changes(people.traits(reading, user_id, "before"), traits)
    rows = [
        [
            t.code("trait", (c.after or c.before or {})["trait"]),
            trait_value(t, about, c.after or c.before or {}),
            tag("span", t(f"trait_{c.kind}"), class_=f"qm-mark qm-mark-{c.kind}"),
            *[
                bar(row["confidence"], t.percent(row["confidence"]), "qm-quiet") if row else "–"
                for row in (c.before, c.after)
            ],
        ]
        for c in found
    ]
    days = [f"{t('confidence')}, {t.moment(run.as_of_date)}" for run in (reading.before, reading.run) if run]
    header = [t("trait"), t("value"), "", *days]
    return join([heading(t("trait_changes")), table(header, rows) if rows else note(t("nothing_changed"))])


def _beside(t: Texts, earlier: Any, day: Any, before: Rows, after: Rows) -> Html:
    was, gone = changes.places(before, after), {changes.content_key(row) for row in changes.gone(before, after)}
    kept = sum(place is not None for place in was.values())
    left = _column(t, earlier, before, lambda row, _: t("mark_gone") if changes.content_key(row) in gone else "")

    def moved(row: dict[str, Any], place: int) -> str:
        old = was[changes.content_key(row)]
        if old is None:
            return t("mark_new")
        return "" if old == place else t("mark_up" if place < old else "mark_down", a=old)

    right = _column(t, day, after, moved)
    title = heading(t("page_changes"), t("kept", kept=kept, n=len(after)))
    return join([title, tag("div", left, right, class_="qm-beside")])


def _column(t: Texts, day: Any, rows: Rows, mark: Any) -> Html:
    pieces: list[Html] = [tag("div", tag("b", t.moment(day)))]
    lines: dict[int, list[Html]] = {}
    titles = {row["module_rank"]: t.column(row, "module_title") for row in reversed(rows)}
    for place, row in enumerate(rows, start=1):
        said = mark(row, place)
        tone = {t("mark_new"): "new", t("mark_gone"): "gone"}.get(said, "same")
        name = (
            t.column(row, "reason_text")
            if row["content_type"] == "campaign"
            else (t("content_ad") if row["content_type"] == "ad" else item_name(row, "content_id"))
        )
        line = tag(
            "li",
            tag("span", place),
            tag("span", name),
            tag("span", said, class_=f"qm-mark qm-mark-{tone}") if said else tag("span"),
        )
        lines.setdefault(row["module_rank"], []).append(line)
    for rank in sorted(lines):
        pieces += [tag("h5", titles[rank]), tag("ol", *lines[rank])]
    return tag("div", *pieces)
