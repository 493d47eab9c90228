"""The reason of each listed item: its code, the evidence, how much that gave, and the texts written from these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ml.explain import reasons
from ml.recommender.blend import BUY_AGAIN, POPULAR, TEXT, Evidence
from ml.recommender.dataset import Shop
from ml.recommender.history import History
from ml.recommender.recommend import Shard
from ml.rerank.attributes import Attributes

#: Days since it came into the catalogue within which an item is called new.
NEW_DAYS = 30
#: So many different items of a category, liked more than not, and a user is taken to follow it.
FOLLOWS_FROM = 2


@dataclass(frozen=True)
class Reasons:
    """Of the listed items, one entry each in the order of the lists: columns of home_recommendations."""

    code: np.ndarray
    evidence_type: np.ndarray
    evidence_id: np.ndarray
    contribution: np.ndarray
    english: list[str]
    chinese: list[str]


def reason_codes(source: np.ndarray, is_bought: np.ndarray, is_from_segment: np.ndarray) -> np.ndarray:
    """Return the reason code of each row from its source and the kind of its evidence."""
    return np.select(
        [source == BUY_AGAIN, source == TEXT, (source != POPULAR) & is_bought, source != POPULAR, is_from_segment],
        [reasons.BUY_AGAIN, reasons.SIMILAR, reasons.BOUGHT, reasons.VIEWED, reasons.IN_SEGMENT],
        reasons.POPULAR,
    ).astype(object)  # fmt: skip


def follows(history: History, category: np.ndarray) -> sparse.csr_matrix:
    """Return users x categories: whether the user follows it.

    Args:
        history: of the users.
        category: each item's code, -1 for none.

    """
    of = category[history.item]
    liked = (history.interest > 0) & (of >= 0)
    shape = (history.n_users, max(1, int(category.max(initial=-1)) + 1))
    counts = sparse.coo_matrix((np.ones(liked.sum()), (history.user[liked], of[liked])), shape=shape).tocsr()
    return counts >= FOLLOWS_FROM


def reasons_of(shop: Shop, attributes: Attributes, shard: Shard, evidence: Evidence, lift: np.ndarray) -> Reasons:
    """Return the reasons of a shard's lists.

    Args:
        shop: names of items and segments.
        attributes: of the items.
        shard: the lists.
        evidence: where the scores come from.
        lift: users x length, what the score of a new item owes to the rule for these, 0 for all others: where that
            is more than any action of the user gave, it is the reason.

    """
    there = shard.items >= 0
    row, _ = np.nonzero(there)
    item, past, source = shard.items[there], evidence.item[there], evidence.source[there]
    codes = reason_codes(source, evidence.is_bought[there], evidence.is_from_segment[there])
    category = attributes.codes["category"]
    followed = follows(shard.history, category)
    owed = lift[there]
    # No count speaks for a new item, so its popularity is never its reason.
    is_new = (owed > 0) & ((source == POPULAR) | (owed > evidence.from_item[there]))
    in_category = np.asarray(followed[row, np.maximum(category[item], 0)]).ravel() & (category[item] >= 0)
    # Unknown to everyone is not yet new: an item may lie in the shop for a year.
    came_lately = shop.catalogue.created[item] >= shop.end_of_day - NEW_DAYS
    says_new = in_category & came_lately
    codes = np.where(is_new, np.where(says_new, reasons.NEW_IN_CATEGORY, reasons.LITTLE_KNOWN), codes)
    past = np.where(codes == reasons.LITTLE_KNOWN, item, past)
    kind = np.select(
        [codes == reasons.NEW_IN_CATEGORY, np.isin(codes, (reasons.IN_SEGMENT, reasons.POPULAR))],
        ["category", "segment"],
        "item",
    ).astype(object)
    segments = np.array(shop.users.segments, dtype=object)
    segment = np.where(codes == reasons.IN_SEGMENT, segments[shop.users.segment[shard.users[row]]], "all")
    names = np.append(attributes.names["category"], "")  # -1 takes the last
    evidence_id = np.select(
        [kind == "category", kind == "segment"],
        [names[category[item]], segment],
        shop.catalogue.item_ids[np.maximum(past, 0)],
    )
    titles = shop.catalogue.titles
    texts = [
        reasons.reason_texts(
            code,
            reasons.segment_names(name)
            if of == "segment"
            else (titles[p], titles[p])
            if of == "item"
            else (name, name),
            bool(p == i),
        )
        for code, of, name, p, i in zip(codes, kind, evidence_id, past, item, strict=True)
    ]
    contribution = np.where(is_new, owed, evidence.from_item[there])
    return Reasons(
        codes, kind, evidence_id, np.round(contribution, 9), [e for e, _ in texts], [c for _, c in texts]
    )
