"""The page that `make preview` serves. What is chosen stands in the address, so that a view can be passed on."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any, Literal

import streamlit as st

from preview import people
from preview.markup import Html, tag
from preview.reading import Identity, Reading, Rows, UnreadableError, identity, open_reading
from preview.search import pseudonym_of
from preview.texts import LANGUAGES, Texts
from preview.user_page import show_user
from qianmian import settings

VIEWS = ("user", "shop")
_LOOK_EVERY_S = 5


def main() -> None:
    """Draw what the address asks for."""
    st.set_page_config(page_title="千面 Qianmian", page_icon="千", layout="wide")
    st.html(Path(__file__).with_name("style.css"))
    shop = settings.load(_shop())
    chosen = st.query_params
    language = chosen.get("lang") or (st.context.locale or "en")[:2]
    t = Texts("zh" if language == "zh" else "en", shop.currency)
    with st.sidebar:
        st.html(_brand(t, shop.shop))
        _switch("lang", t("language"), LANGUAGES, t.language)
        views = {view: t(f"view_{view}") for view in VIEWS}
        view = _switch("view", t("view"), views, chosen.get("view", "user"))
    seen = identity(shop.warehouse)
    try:
        with open_reading(shop.warehouse, shop.lake, _day(chosen.get("day"))) as reading:
            _tell_of_newer(shop.warehouse, seen, t)
            with st.sidebar:
                _choose_day(reading, t)
            if view == "shop":
                # Charts take a second to load: the page of a user goes without.
                from preview.shop_page import show_shop

                show_shop(_answers(reading, seen, reading.run.run_id), t)
            else:
                with st.sidebar:
                    user_id = _choose_user(reading, t, shop, seen)
                if user_id:
                    show_user(reading, t, user_id)
            st.sidebar.caption(t("made_by", run=reading.run.run_id, at=t.moment(reading.run.published_at)))
    except UnreadableError as error:
        _tell_unreadable(error, t, shop)


def _shop() -> str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shop", default="simulated")
    return str(parser.parse_args(sys.argv[1:]).shop)


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _brand(t: Texts, shop: str) -> Html:
    about = tag("small", f"{t('shop')}: {shop}", class_="qm-soft")
    return tag("div", tag("b", "千面 Qianmian"), " ", about, tag("div", t("read_only"), class_="qm-soft qm-small"))


def _switch(name: str, label: str, options: dict[str, str], value: str) -> str:
    """Show a switch whose state is in the address."""
    known = value if value in options else next(iter(options))

    def keep() -> None:
        st.query_params[name] = st.session_state[f"switch_{name}"]

    st.segmented_control(
        label,
        list(options),
        default=known,
        required=True,
        format_func=options.__getitem__,
        key=f"switch_{name}",
        label_visibility="collapsed",
        on_change=keep,
    )
    return known


def _choose_day(reading: Reading, t: Texts) -> None:
    days = [day.isoformat() for day in reading.days]
    now = reading.run.as_of_date.isoformat()

    def keep() -> None:
        st.query_params["day"] = st.session_state[f"day_of_{now}"]

    st.selectbox(
        t("day"),
        days,
        index=days.index(now),
        format_func=lambda day: t("latest", day=day) if day == days[0] else day,
        key=f"day_of_{now}",
        on_change=keep,
    )


def _choose_user(reading: Reading, t: Texts, shop: settings.Settings, seen: Identity | None) -> str | None:
    """Show the search, what it found and whom to look at; return the user chosen, at first the richest."""
    found = _search(reading, t, shop)
    suggested = _suggested(reading, seen, reading.run.run_id)
    first = next(iter(suggested.values()))[0]["user_id"] if suggested else None
    user_id = st.query_params.get("user") or first
    if found is not None:
        st.caption(t("found") if found else t("found_none"))
        for row in found:
            about = t.code("lifecycle_stage", row["lifecycle_stage"])
            _user_button(row["user_id"], f"`{row['user_id'][:12]}…` {about}", "found", user_id)
    if suggested:
        st.caption(t("suggested"))
    for kind, rows in suggested.items():
        label = t(f"suggest_{kind}", n=rows[0].get("new_items"))
        _user_button(rows[0]["user_id"], f"{label}  \n`{rows[0]['user_id'][:12]}…`", kind, user_id)
    return user_id


def _search(reading: Reading, t: Texts, shop: settings.Settings) -> Rows | None:
    """Show the search; return the users found, None where nothing is asked. A single one is chosen at once."""
    has_key = pseudonym_of("", shop.pseudonym_key_file, os.environ) is not None
    typed = st.text_input(
        t("search"),
        key="search",
        placeholder=t("search_hint_key" if has_key else "search_hint"),
        help=t("search_help_key" if has_key else "search_help_no_key"),
    ).strip()
    is_asked_now = typed != st.session_state.get("searched", "")
    st.session_state["searched"] = typed
    if not typed:
        return None
    own = pseudonym_of(typed, shop.pseudonym_key_file, os.environ)
    found = [*(people.find_users(reading, own) if own else []), *people.find_users(reading, typed)]
    if is_asked_now and len(found) == 1:
        st.query_params["user"] = found[0]["user_id"]
    return found


def _user_button(user_id: str, label: str, kind: str, shown: str | None) -> None:
    def choose() -> None:
        st.query_params["user"] = user_id

    tone: Literal["primary", "secondary"] = "primary" if user_id == shown else "secondary"
    st.button(label, key=f"{kind}_{user_id}", on_click=choose, type=tone, width="stretch")


@st.cache_data(max_entries=4, show_spinner=False)
def _answers(_reading: Reading, seen: Identity | None, run_id: str) -> dict[str, Any]:
    """Keep a day's answers while the warehouse is the same file."""
    from preview.shop_page import answers

    return answers(_reading)


@st.cache_data(max_entries=8, show_spinner=False)
def _suggested(_reading: Reading, seen: Identity | None, run_id: str) -> dict[str, Rows]:
    """Keep a day's suggestions while the warehouse is the same file."""
    return people.suggested_users(_reading)


@st.fragment(run_every=_LOOK_EVERY_S)
def _tell_of_newer(warehouse: Path, seen: Identity | None, t: Texts) -> None:
    """Say so when a run has published while the page was open; nothing changes under the reader."""
    if identity(warehouse) not in (None, seen):
        st.info(t("newer"))
        if st.button(t("show_newer"), key="show_newer"):
            st.query_params.pop("day", None)
            st.rerun()


def _tell_unreadable(error: UnreadableError, t: Texts, shop: settings.Settings) -> None:
    rebuild = f".venv/bin/python -m warehouse.rebuild --lake {shop.lake} --warehouse {shop.warehouse}"
    st.warning(t(error.key, **error.values))
    st.markdown(
        f"**{t('what_to_do')}**: " + t(f"{error.key}_do", run=f"make run SHOP={shop.shop}", rebuild=rebuild)
    )
    st.button(t("again"), key="again")


main()
