"""Columns of recommendation_filters: what the rules did, and what of a user's own past kept items away."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.recommender.blend import Blend
from ml.recommender.dataset import Shop
from ml.recommender.history import History
from ml.rerank.moves import ACTIONS, NO_RANK, REMOVED, RULES, Moves, details
from ml.rerank.reranker import Reranker


def barred_moves(history: History, users: np.ndarray, blend: Blend) -> Moves:
    """Return a row for each item that a user acted on and may not be shown: never more than the user's history.

    Args:
        history: of a shard, its users numbered from 0.
        users: their positions among all.
        blend: whose rules on repeats and on active items hold.

    """
    found = [
        ("dismissed", history.is_dismissed),
        ("returned", history.is_returned),
        ("already_bought", history.is_bought & ~history.is_returned & (not blend.allows_repeats)),
        ("not_on_sale", ~blend.items.is_candidate[history.item]),
    ]
    parts = []
    for rule, holds in found:
        at = np.flatnonzero(holds)
        none, no_rank = np.full(len(at), -1), np.full(len(at), NO_RANK)
        parts.append(
            Moves(
                users[history.user[at]], history.item[at], np.full(len(at), RULES.index(rule)),
                np.full(len(at), REMOVED), none, no_rank, no_rank, np.zeros(len(at)),
            )
        )  # fmt: skip
    return Moves.joined(parts)


def filter_columns(shop: Shop, reranker: Reranker, moves: Moves) -> dict[str, Any]:
    """Return rows of recommendation_filters, sorted by their key."""
    moves = moves.in_order()
    rules = reranker.rules.rules
    names = np.array([*(rule.rule_id for rule in rules), None], dtype=object)  # -1 takes the last
    versions = np.array([*(rule.version for rule in rules), reranker.settings.version], dtype=object)

    def ranks(values: np.ndarray) -> np.ndarray:
        told = values.astype(object)
        told[values == NO_RANK] = None
        return told

    return {
        "user_id": shop.users.user_ids[moves.user],
        "surface": reranker.surface,
        "item_id": shop.catalogue.item_ids[moves.item],
        "rule": np.array(RULES, dtype=object)[moves.rule],
        "action": np.array(ACTIONS, dtype=object)[moves.action],
        "rule_id": names[moves.shop_rule],
        "rule_version": versions[moves.shop_rule],
        "rank_before": ranks(moves.rank_before),
        "rank_after": ranks(moves.rank_after),
        "detail": details(moves),
    }
