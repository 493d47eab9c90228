"""The pieces of HTML that pages are made of. What comes from a table is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from zlib import crc32

from preview.reading import Reading, Rows
from preview.texts import Texts

#: Muted tints, one a category: background and ink.
_TINTS = (
    ("#e6f0ee", "#2c6e63"),
    ("#f3ebe0", "#8a5a24"),
    ("#e8ebf5", "#47558f"),
    ("#f4e6ea", "#93465c"),
    ("#ebf1e0", "#5a7029"),
    ("#efe8f3", "#6f4a8a"),
    ("#e3eef4", "#2f6583"),
    ("#f5f0d9", "#7d6a1b"),
)
_EVIDENCE_SHOWN = 3


class Html(str):
    """Markup that is escaped already."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Escape a value."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def tag(name: str, *content: Any, **attributes: Any) -> Html:
    """Make one element; `class_` is its class, content that is not markup is escaped."""
    given = "".join(f' {key.rstrip("_")}="{escape(str(value))}"' for key, value in attributes.items() if value)
    return Html(f"<{name}{given}>{''.join(map(text, content))}</{name}>")


def join(pieces: Iterable[Any]) -> Html:
    """Put pieces one after the other."""
    return Html("".join(map(text, pieces)))


def note(said: str) -> Html:
    """Say plainly that something is not there."""
    return tag("p", said, class_="qm-note")


def heading(said: str, aside: str = "") -> Html:
    """Begin a section."""
    return tag("h3", said, tag("span", aside, class_="qm-aside") if aside else "", class_="qm-heading")


def chip(label: str, value: str, title: str = "") -> Html:
    """Show one word about somebody, with what it is about before it."""
    return tag("span", tag("small", label), value, class_="qm-chip", title=title)


def bar(share: float | None, label: str, kind: str = "") -> Html:
    """Draw a bar of 0 to 1 with its figure beside it; nothing without a share."""
    if share is None:
        return tag("span", label, class_="qm-figure")
    width = f"width:{min(max(share, 0.0), 1.0):.1%}"
    return tag(
        "span",
        tag("span", tag("span", style=width), class_=f"qm-bar {kind}".strip()),
        tag("span", label, class_="qm-figure"),
        class_="qm-barred",
    )


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> Html:
    """Lay rows out as a table; `numbers` are the columns aligned to the right."""

    def cells(name: str, row: Sequence[Any]) -> Html:
        return join(tag(name, cell, class_="qm-number" if n in numbers else "") for n, cell in enumerate(row))

    head = tag("thead", tag("tr", cells("th", header)))
    body = tag("tbody", *[tag("tr", cells("td", row)) for row in rows])
    return tag("div", tag("table", head, body, class_="qm-table"), class_="qm-scroll")


def tint(category: str | None) -> str:
    """Return the colours of a category, the same on every page."""
    background, ink = _TINTS[crc32((category or "").encode()) % len(_TINTS)]
    return f"background:{background};color:{ink}"


def item_name(row: dict[str, Any], column: str = "item_id") -> str:
    """Return an item's title, or its id where it has no portrait."""
    return str(row.get("title") or row[column])


def badges(t: Texts, row: dict[str, Any]) -> Html:
    """Mark what stands there for another reason than its score."""
    marks = [
        ("exploration", row.get("is_exploration")),
        ("promoted", row.get("is_promoted")),
        ("new", row.get("is_new_item")),
    ]
    return join(tag("span", t(f"badge_{mark}"), class_=f"qm-badge qm-{mark}") for mark, on in marks if on)


def card(t: Texts, row: dict[str, Any], why: Html) -> Html:
    """Show one content of a page as a shopper would see it; `why` opens when the card is pointed at.

    Args:
        t: words.
        row: a row of `people.page`.
        why: see `why_panel`.

    """
    face: list[Html | str]
    if row["content_type"] == "campaign":
        face, tile = [tag("div", t.column(row, "reason_text"), class_="qm-meta")], t.column(row, "module_title")
    elif row["content_type"] == "ad":
        face = [tag("div", t("content_ad"), class_="qm-title"), tag("div", t("ad_hint"), class_="qm-meta")]
        tile = "AD"
    else:
        about = " · ".join(filter(None, (row["brand"], row["category"])))
        chance = f"{t('chance_short')} {t.percent(row['probability'])}" if row["probability"] is not None else ""
        face = [
            tag("div", item_name(row, "content_id"), class_="qm-title"),
            tag("div", about, class_="qm-meta"),
            tag(
                "div",
                tag("b", t.money(row["price"]) if row["price"] is not None else ""),
                tag("span", chance),
                class_="qm-line",
            ),
            tag("div", t.code("candidate_source", row["candidate_source"]), class_="qm-source")
            if row["candidate_source"]
            else "",
        ]
        tile = (row["category"] or item_name(row, "content_id"))[:1]
    return tag(
        "article",
        tag(
            "div",
            tag("span", tile),
            tag("div", badges(t, row), class_="qm-badges"),
            class_="qm-tile",
            style=tint(row["category"]),
        ),
        *face,
        why,
        class_=f"qm-card qm-{row['content_type']}",
        tabindex="0",
    )


def why_panel(t: Texts, row: dict[str, Any], evidence: str, explained: Rows) -> Html:
    """Tell why a content stands there: the reason, what it rests on, and the parts of its score.

    Args:
        t: words.
        row: a row of `people.page` or `people.ranked_list`.
        evidence: the name of what the reason rests on.
        explained: its rows of recommendation_explanations, if any.

    """
    facts = [
        (t("reason"), t.code("reason_code", row["reason_code"])),
        (t("rests_on"), f"{t.code('evidence_type', row['evidence_type'])}: {evidence}" if evidence else ""),
        (t("contribution"), t.number(row["contribution"]) if row.get("contribution") is not None else ""),
        (t("chance"), t.percent(row["probability"]) if row.get("probability") is not None else ""),
        (t("source"), t.code("candidate_source", row["candidate_source"]) if row.get("candidate_source") else ""),
        (t("list_rank"), row.get("list_rank") or ""),
        (t("expected_value"), f"{row['expected_value']:.4f}" if row.get("expected_value") is not None else ""),
        (t("propensity"), t.percent(row["propensity"]) if row["propensity"] < 1 else ""),
    ]
    said = join(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts if value != "")
    return tag(
        "div",
        tag("b", t.column(row, "reason_text")),
        tag("dl", said),
        _evidence(t, explained),
        _parts(t, explained),
        class_="qm-why",
    )


def _evidence(t: Texts, explained: Rows) -> Html:
    rows = [row for row in explained if row["kind"] == "evidence"][:_EVIDENCE_SHOWN]
    return _contributions(t, t("evidence_list"), rows, [evidence_name(t, row) for row in rows])


def _parts(t: Texts, explained: Rows) -> Html:
    rows = [row for row in explained if row["kind"] == "part"]
    title = t("parts_of_log" if any(row["scale"] == "log_score" for row in rows) else "score_parts")
    return _contributions(t, title, rows, [part_name(t, row) for row in rows])


def _contributions(t: Texts, title: str, rows: Rows, names: list[str]) -> Html:
    if not rows:
        return Html("")
    largest = max(abs(row["contribution"]) for row in rows) or 1.0
    lines = [
        tag(
            "div",
            tag("span", name),
            bar(
                abs(row["contribution"]) / largest,
                t.number(row["contribution"]),
                "" if row["contribution"] >= 0 else "qm-minus",
            ),
            class_="qm-part",
        )
        for row, name in zip(rows, names, strict=True)
    ]
    return tag("div", tag("small", title), *lines, class_="qm-parts")


def evidence_name(t: Texts, row: dict[str, Any]) -> str:
    """Name what a row's reason rests on: an item by its title, a segment in words."""
    if row["evidence_id"] is None:
        return ""
    if row["evidence_type"] == "segment":
        return t.code("segment", row["evidence_id"])
    if row["evidence_type"] == "price":
        return " → ".join(t.money(float(price)) for price in row["evidence_id"].split("/"))
    if row["evidence_type"] == "rhythm":
        return t("days", n=row["evidence_id"])
    return str(row.get("evidence_title") or row["evidence_id"])


def part_name(t: Texts, row: dict[str, Any]) -> str:
    """Name a part of a score: what it is of, and its own name where that is another."""
    code, own = row["reason_code"], str(row["evidence_id"])
    return t.code("part", code) if own == code else f"{t.code('part', code)} ({own.replace('_', ' ')})"


def why_nothing(t: Texts, reading: Reading, name: str) -> Html:
    """Say why a table shows nothing: never published, empty, or nothing for this user."""
    state = reading.state(name)
    return note(t("none_for_user") if state == "there" else t(state, table=name))
