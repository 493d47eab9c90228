"""The portrait of one user: stage and segments, text, figures, traits with what they rest on."""

from __future__ import annotations

import re
from typing import Any

from preview.markup import Html, bar, chip, join, note, table, tag, why_nothing
from preview.reading import Reading, Rows
from preview.texts import Texts
from preview.words import CODES

WINDOWS = (7, 30, 90, 365)
#: Traits whose strength is a share, 0 to 1, and is drawn as a bar; of others the value says it all.
_SHARES = (
    *("taste_segment", "category_affinity", "brand_affinity", "price_level", "active_weekday", "active_hour"),
    *("platform", "bargain_seeking", "novelty_seeking"),
)
#: Of these, those drawn beside the portrait.
_DRAWN = ("category_affinity", "brand_affinity", "price_level", "bargain_seeking", "novelty_seeking", "platform")
_DAYS = re.compile(r"(\d+) days?")


def portrait_box(t: Texts, reading: Reading, about: dict[str, Any], traits: Rows) -> Html:
    """Draw the portrait: stage, segments and text; the figures; the strongest traits."""
    chips = [
        chip(t("lifecycle_stage"), t.code("lifecycle_stage", about["lifecycle_stage"])),
        chip(t("segment"), t.code("segment", about["segment"])),
    ]
    if about["taste_name"]:
        chips.append(chip(t("taste_segment"), t.column(about, "taste_name"), t.column(about, "taste_description")))
    said = t.column(about, "portrait_text")
    words = tag("p", said, class_="qm-lead") if said else note(t("no_portrait_text"))
    facts = [join([tag("dt", name), tag("dd", value)]) for name, value in _facts(t, about) if value]
    return tag(
        "div",
        tag("div", tag("div", *chips, class_="qm-chips"), words),
        tag("dl", *facts, class_="qm-facts"),
        tag("div", *_strongest(t, reading, about, traits)),
        class_="qm-box qm-portrait",
    )


def _facts(t: Texts, about: dict[str, Any]) -> list[tuple[str, Any]]:
    windows = t("windows")
    days = about["days_since_last_purchase"]
    rhythm = about["average_days_between_orders"]
    hour = about["active_hour"]
    active = [
        t.code("weekday", about["active_weekday"]) if about["active_weekday"] else "",
        t("active_at", hour=f"{hour:02}") if hour is not None else "",
    ]
    taste = [about["favorite_category"], about["favorite_brand"]]
    churn = about["churn_probability"]
    return [
        (t("confidence_of_portrait"), bar(about["confidence"], t.percent(about["confidence"]))),
        (f"{t('orders')}, {windows}", " / ".join(str(about[f"orders_{w}d"]) for w in WINDOWS)),
        (f"{t('amount_spent')}, {windows}", " / ".join(t.money(about[f"amount_spent_{w}d"]) for w in WINDOWS)),
        (t("average_order_value"), t.money(about["average_order_value"]) if about["average_order_value"] else ""),
        (
            t("days_since_last_purchase"),
            "" if days is None else t("days_ago", n=days) if days else t("today_word"),
        ),
        (t("average_days_between_orders"), t("days", n=t.number(rhythm)) if rhythm else ""),
        (
            t("next_purchase_expected_on"),
            t.moment(about["next_purchase_expected_on"]) if about["next_purchase_expected_on"] else "",
        ),
        (f"{t('favorite_category')} · {t('brand')}", " · ".join(filter(None, taste))),
        (t("price_band"), t.code("price_band", about["price_band"]) if about["price_band"] else ""),
        (t("active"), " ".join(filter(None, active))),
        (
            f"{t('platform')} · {t('region')}",
            " · ".join(
                filter(None, (t.code("platform", about["platform"]) if about["platform"] else "", about["region"]))
            ),
        ),
        (t("language_of_user"), t.code("language", about["language"]) if about["language"] else ""),
        (t("churn_probability"), bar(churn, t.percent(churn), "qm-minus") if churn is not None else ""),
    ]


def _strongest(t: Texts, reading: Reading, about: dict[str, Any], traits: Rows) -> list[Html]:
    """Return bars of the traits that are shares, by kind; the evidence opens when one is pointed at."""
    if not traits:
        return [why_nothing(t, reading, "user_traits")]
    lines = [
        tag(
            "div",
            tag("span", row["subject"] if row["subject"] != "all" else t.code("trait", row["trait"])),
            bar(row["strength"], t.percent(row["strength"])),
            class_="qm-part",
            title=t.column(row, "evidence"),
        )
        for row in _in_order(traits)
        if row["trait"] in _DRAWN and row["strength"] is not None
    ]
    return [tag("b", t("traits")), tag("div", *lines), tag("p", t("all_traits"), class_="qm-soft qm-small")]


def _in_order(traits: Rows) -> Rows:
    """Return traits by kind, in the order in which the kinds are told."""
    order = list(CODES["trait"])
    return sorted(traits, key=lambda row: order.index(row["trait"]) if row["trait"] in order else len(order))


def traits_section(t: Texts, reading: Reading, about: dict[str, Any], traits: Rows) -> Html:
    """Draw every trait with strength, confidence and evidence."""
    if not traits:
        return why_nothing(t, reading, "user_traits")
    shown = _in_order(traits)
    rows = [_trait_cells(t, about, row) for row in shown]
    for above, row, cells in zip(shown, shown[1:], rows[1:], strict=False):
        if above["trait"] == row["trait"]:
            cells[0] = ""  # said once for all of a kind
    header = [t(name) for name in ("trait", "value", "strength", "confidence", "source", "evidence")]
    return table(header, rows)


def _trait_cells(t: Texts, about: dict[str, Any], row: dict[str, Any]) -> list[Any]:
    share = row["strength"] if row["trait"] in _SHARES else None
    return [
        t.code("trait", row["trait"]),
        trait_value(t, about, row),
        bar(share, t.percent(share) if share is not None else ""),
        bar(row["confidence"], t.percent(row["confidence"]), "qm-quiet"),
        t(row["source"]) if row["source"] in ("measured", "model") else row["source"],
        tag("span", t.column(row, "evidence"), class_="qm-soft"),
    ]


def trait_value(t: Texts, about: dict[str, Any], row: dict[str, Any]) -> str:
    """Return what a trait says, in words."""
    if row["trait"] == "taste_segment" and row["value"] == about["taste_segment"] and about["taste_name"]:
        return t.column(about, "taste_name")
    if row["subject"] != "all":
        return str(row["subject"])
    if days := _DAYS.fullmatch(row["value"]):
        return t("days", n=days[1])
    is_number = row["strength"] is not None and row["value"] == f"{row['strength']:.2f}"
    return (
        t.percent(row["strength"])
        if is_number and row["trait"] in _SHARES
        else t.value(row["trait"], row["value"])
    )
