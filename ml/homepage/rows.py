"""A page's slots as rows of homepage_layouts: titles, reasons, and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from ml.homepage import campaigns as heroes
from ml.homepage import candidates as pools
from ml.homepage import texts
from ml.homepage.campaigns import Campaigns
from ml.homepage.inputs import Lists, PageInputs
from ml.homepage.layout import NO_ROW, Placed, find_rows
from ml.homepage.settings import AD, BUY_AGAIN, FOR_YOU, HERO, MODULES, NEW, POPULAR, PRICE_DROPS, VIEWED
from ml.homepage.texts import Text

#: Reasons of the list that rest on nothing of the user's own.
_IMPERSONAL = ("popular", "popular_in_segment")


class _Columns:
    """Text columns being filled, a module at a time."""

    def __init__(self, length: int) -> None:
        self.reason_code, self.evidence_type, self.evidence_id = (np.full(length, None, object) for _ in range(3))
        self.title, self.title_zh, self.reason, self.reason_zh = (np.full(length, "", object) for _ in range(4))

    def put_titles(self, where: np.ndarray, titles: tuple[np.ndarray, np.ndarray]) -> None:
        self.title[where], self.title_zh[where] = titles

    def put_reasons(
        self, where: np.ndarray, code: Any, type_: Any, id_: Any, reasons: tuple[np.ndarray, np.ndarray]
    ) -> None:
        self.reason_code[where], self.evidence_type[where], self.evidence_id[where] = code, type_, id_
        self.reason[where], self.reason_zh[where] = reasons


def page_rows(inputs: PageInputs, campaigns: Campaigns, placed: Placed, lists: Lists) -> dict[str, Any]:
    """Return a shard's slots as columns of homepage_layouts."""
    columns = _Columns(len(placed))
    fill = {
        HERO: _hero, BUY_AGAIN: _buy_again, PRICE_DROPS: _price_drops, VIEWED: _viewed, NEW: _new,
        FOR_YOU: _for_you, POPULAR: _popular,
    }  # fmt: skip
    for module, write in fill.items():
        where = np.flatnonzero(placed.module == MODULES.index(module))
        if len(where):
            write(columns, where, inputs, campaigns, placed, lists)
    is_ad = placed.module == MODULES.index(AD)
    where = np.flatnonzero(is_ad)
    columns.put_titles(where, _constant(texts.AD_TITLE, len(where)))
    columns.put_reasons(where, texts.AD, None, None, _constant(texts.AD_REASON, len(where)))

    is_hero, is_listed = placed.module == MODULES.index(HERO), placed.row != NO_ROW
    content = np.full(len(placed), None, object)
    content[is_hero] = np.array(campaigns.campaign_ids, dtype=object)[placed.item[is_hero]]
    content[is_ad] = [f"ad-{number + 1}" for number in placed.item[is_ad].tolist()]
    is_item = ~is_hero & ~is_ad
    content[is_item] = inputs.item_ids[placed.item[is_item]]
    row = placed.row[is_listed]
    probability = np.full(len(placed), None, object)
    probability[is_listed] = lists.columns["probability"][row]
    recommendation = np.full(len(placed), None, object)
    recommendation[is_listed] = lists.columns["recommendation_id"][row]
    exploration, propensity = np.zeros(len(placed), dtype=bool), np.ones(len(placed))
    exploration[is_listed] = lists.columns["is_exploration"][row]
    propensity[is_listed] = lists.columns["propensity"][row]
    return {
        "user_id": inputs.user_ids[placed.user],
        "slot": placed.slot,
        "module": np.array(MODULES, dtype=object)[placed.module],
        "module_rank": placed.module_rank,
        "rank": placed.rank,
        "module_title": columns.title,
        "module_title_zh": columns.title_zh,
        "content_type": np.select([is_hero, is_ad], ["campaign", "ad"], "item").astype(object),
        "content_id": content,
        "recommendation_id": recommendation,
        "reason_code": columns.reason_code,
        "reason_text": columns.reason,
        "reason_text_zh": columns.reason_zh,
        "evidence_type": columns.evidence_type,
        "evidence_id": columns.evidence_id,
        "probability": probability,
        "expected_value": placed.value,
        "is_exploration": exploration,
        "propensity": propensity,
    }


def _hero(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, lists: Lists
) -> None:
    names = np.array(campaigns.names, dtype=object)[placed.item[where]]
    columns.put_titles(where, _written(names, texts.hero_title))
    is_pick = placed.kind[where] == heroes.IN_LIST
    item = placed.evidence[where]
    n_items = len(inputs.item_ids)
    row = find_rows(lists.user * n_items + lists.item, placed.user[where] * n_items + item)
    impersonal = np.isin(lists.columns["reason_code"].astype(str), _IMPERSONAL)
    is_popular = is_pick & np.append(impersonal, False)[row]  # NO_ROW is the last
    for these, code, said in (
        (is_pick & ~is_popular, texts.CAMPAIGN_PICK, texts.hero_pick),
        (is_popular, texts.CAMPAIGN_PICK, texts.hero_popular),
        (~is_pick, texts.CAMPAIGN_LOOK, texts.hero_look),
    ):
        told = _written(inputs.titles[item[these]], said)
        columns.put_reasons(where[these], code, "item", inputs.item_ids[item[these]], told)


def _buy_again(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, lists: Lists
) -> None:
    columns.put_titles(where, _constant(texts.BUY_AGAIN_TITLE, len(where)))
    is_habit = placed.kind[where] == pools.HABIT
    for habit, code in ((True, texts.DUE_HABIT), (False, texts.DUE_TWICE)):
        mine = where[is_habit == habit]
        days = placed.evidence[mine]
        told = _written(days, partial(_rhythm, is_habit=habit))
        columns.put_reasons(mine, code, "rhythm", days.astype(str).astype(object), told)


def _rhythm(days: str, *, is_habit: bool) -> Text:
    return texts.rhythm_reason(int(days), is_habit=is_habit)


def _price_drops(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, _: Lists
) -> None:
    columns.put_titles(where, _constant(texts.PRICE_DROPS_TITLE, len(where)))
    evidence = inputs.price_evidence[placed.item[where]]
    code = np.where(placed.kind[where] == pools.LOOKED_AT, texts.PRICE_DROP_LOOK, texts.PRICE_DROP_FAVORITE)
    columns.put_reasons(where, code, "price", evidence, _written(evidence, texts.price_reason))


def _viewed(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, _: Lists
) -> None:
    anchor = placed.evidence[where]
    columns.put_titles(where, _written(inputs.titles[anchor], texts.viewed_title))
    is_together = placed.kind[where] == pools.TOGETHER
    for together, code in ((True, texts.TOGETHER), (False, texts.SIMILAR)):
        chosen = anchor[is_together == together]
        told = _written(
            inputs.titles[chosen],
            partial(texts.viewed_reason, is_together=together),
        )
        columns.put_reasons(where[is_together == together], code, "item", inputs.item_ids[chosen], told)


def _new(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, _: Lists
) -> None:
    category, user = inputs.categories[placed.item[where]], placed.user[where]
    # All of one category: the title names it.
    first = np.flatnonzero(np.concatenate(([True], user[1:] != user[:-1])))
    lengths = np.diff(np.concatenate((first, [len(user)])))
    differs = (category != np.repeat(category[first], lengths)).astype(np.int64)
    is_one = np.repeat(np.add.reduceat(differs, first) == 0, lengths)
    is_followed = placed.kind[where] == pools.FOLLOWED
    for title, mine in ((texts.NEW_TITLE, where[is_followed]), (texts.NEW_IN_SHOP_TITLE, where[~is_followed])):
        columns.put_titles(mine, _constant(title, len(mine)))
    columns.put_titles(where[is_one], _written(category[is_one], texts.new_title))
    for follows, code in ((True, texts.NEW_FOLLOWED), (False, texts.NEW_IN)):
        of = category[is_followed == follows]
        told = _written(of, partial(texts.new_reason, is_followed=follows))
        columns.put_reasons(where[is_followed == follows], code, "category", of, told)


def _for_you(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, lists: Lists
) -> None:
    _as_listed(columns, where, placed, lists)
    is_own = ~np.isin(columns.reason_code[where].astype(str), _IMPERSONAL)
    users, page = np.unique(placed.user[where], return_inverse=True)
    has_own = np.bincount(page, is_own, len(users)) > 0
    columns.put_titles(where, _constant(texts.FOR_YOU_TITLE, len(where)))
    impersonal = where[~has_own[page]]
    columns.put_titles(impersonal, _constant(texts.FIRST_LOOK_TITLE, len(impersonal)))


def _popular(
    columns: _Columns, where: np.ndarray, inputs: PageInputs, campaigns: Campaigns, placed: Placed, _: Lists
) -> None:
    user, is_segment = placed.user[where], placed.kind[where] == pools.IN_SEGMENT
    near, region = where[~is_segment], inputs.regions[user[~is_segment]]
    columns.put_titles(near, _written(region, texts.region_title))
    columns.put_reasons(near, texts.IN_REGION, "region", region, _written(region, texts.region_reason))
    rest, segment = where[is_segment], inputs.popular_segments[user[is_segment]]
    columns.put_titles(rest, _constant(texts.POPULAR_TITLE, len(rest)))
    code = np.where(segment == "all", texts.POPULAR, texts.IN_SEGMENT)
    columns.put_reasons(rest, code, "segment", segment, _written(segment, texts.segment_reason))


def _as_listed(columns: _Columns, where: np.ndarray, placed: Placed, lists: Lists) -> None:
    """Take over the list's own reason."""
    row = placed.row[where]
    told = lists.columns
    columns.put_reasons(
        where, told["reason_code"][row], told["evidence_type"][row], told["evidence_id"][row],
        (told["reason_text"][row], told["reason_text_zh"][row]),
    )  # fmt: skip


def _constant(text: Text, length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(length, text[0], object), np.full(length, text[1], object)


def _written(names: np.ndarray, write: Callable[[Any], Text]) -> tuple[np.ndarray, np.ndarray]:
    """Write a text for each name; every different name is written once."""
    different, place = np.unique(names.astype(str), return_inverse=True)
    told: Iterable[Text] = [write(name) for name in different.tolist()]
    english, chinese = zip(*told, strict=True) if len(different) else ((), ())
    return np.array(english, dtype=object)[place], np.array(chinese, dtype=object)[place]
