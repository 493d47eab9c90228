"""What is true of the shop, as tables for people and benchmarks: written beside the feeds, never among them.

shop.json                       seed, users, rates: everything else follows from them
users/<day>[-<shard>].parquet   who registered that day (on the opening day: all founders), with tastes
items/<day>.parquet             which items came that day, with their place in taste space
campaigns/<day>.parquet         which campaigns were announced that day, and their true effect by response
purchases/<day>[-<shard>].parquet      what was bought, and why (REASONS)
planted_dirt/<day>[-<shard>].parquet   every bad row: feed, file, row number, kind, key
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from feeds.simulated.campaigns import BUYS_FACTOR, INTEREST, RESPONSES, VISITS_FACTOR, effect
from feeds.simulated.catalogue import Catalogue
from feeds.simulated.days import day_of
from feeds.simulated.history import REASONS, History
from feeds.simulated.people import HUMAN, KINDS, NEVER, Shard
from feeds.simulated.words import vocabulary

_VECTOR = pa.list_(pa.float64())
USERS = pa.schema(
    {
        "user_id": pa.string(),
        "registered_on": pa.date32(),
        "kind": pa.string(),
        "is_bot": pa.bool_(),
        "taste": _VECTOR,
        "category_preferences": _VECTOR,
        "price_sensitivity": pa.float64(),
        "visits_a_day": pa.float64(),
        "buys_share": pa.float64(),
        "campaign_response": pa.string(),
        "leaves_on": pa.date32(),
        "consent_withdrawn_on": pa.date32(),
        "erasure_requested_on": pa.date32(),
    }
)
ITEMS = pa.schema(
    {
        "item_id": pa.string(),
        "category_path": pa.string(),
        "taste_vector": _VECTOR,
        "quality": pa.float64(),
        "appeal": pa.float64(),
        "list_price": pa.float64(),
        "retires_on": pa.date32(),
    }
)
CAMPAIGNS = pa.schema(
    {
        "campaign_id": pa.string(),
        "campaign_response": pa.string(),
        "visits_factor": pa.float64(),
        "buys_factor": pa.float64(),
        "interest": pa.float64(),
        "discount": pa.float64(),
    }
)
PURCHASES = pa.schema(
    {
        "user_id": pa.string(),
        "is_anonymous": pa.bool_(),
        "item_id": pa.string(),
        "quantity": pa.int64(),
        "reason": pa.string(),
    }
)


def user_rows(shard: Shard, day: int) -> list[dict[str, Any]]:
    """Return who registered on `day`; on the opening day, everybody there is."""
    first = 0 if day == 0 else shard.count(day - 1)
    return [
        {
            "user_id": shard.user_id(user),
            "registered_on": day_of(int(shard.registered[user])),
            "kind": KINDS[shard.kind[user]],
            "is_bot": bool(shard.kind[user] != HUMAN),
            "taste": shard.taste[user].tolist(),
            "category_preferences": shard.leaf_preference[user].tolist(),
            "price_sensitivity": float(shard.price_sensitivity[user]),
            "visits_a_day": float(shard.visits[user]),
            "buys_share": float(shard.buys[user]),
            "campaign_response": RESPONSES[shard.response[user]],
            "leaves_on": _day_or_none(shard.churned[user]),
            "consent_withdrawn_on": _day_or_none(shard.withdrawn[user]),
            "erasure_requested_on": _day_or_none(shard.erased[user]),
        }
        for user in range(first, shard.count(day))
    ]


def item_rows(catalogue: Catalogue, day: int) -> list[dict[str, Any]]:
    """Return which items came on `day`; on the opening day, all there are."""
    first = 0 if day == 0 else catalogue.count(day - 1)
    return [
        {
            "item_id": catalogue.item_id(item),
            "category_path": vocabulary().leaves[catalogue.leaf[item]].path,
            "taste_vector": catalogue.vector[item].tolist(),
            "quality": float(catalogue.quality[item]),
            "appeal": float(catalogue.appeal[item]),
            "list_price": float(catalogue.list_price[item]),
            "retires_on": _day_or_none(catalogue.retires[item]),
        }
        for item in range(first, catalogue.count(day))
    ]


def campaign_rows(catalogue: Catalogue, day: int) -> list[dict[str, Any]]:
    """Return the campaigns announced on `day`, one row a campaign and response."""
    responses = np.arange(len(RESPONSES))
    return [
        {
            "campaign_id": campaign.campaign_id,
            "campaign_response": RESPONSES[response],
            "visits_factor": float(effect(VISITS_FACTOR, responses, campaign.strength)[response]),
            "buys_factor": float(effect(BUYS_FACTOR, responses, campaign.strength)[response]),
            "interest": float(INTEREST[response] * campaign.strength),
            "discount": campaign.discount,
        }
        for campaign in catalogue.campaigns
        if campaign.announced == day
        for response in responses.tolist()
    ]


def purchase_rows(history: History, day: int) -> list[dict[str, Any]]:
    """Return the purchases of `day` with their reasons; anonymous ones with the user behind them."""
    visits, quantities = history.visits(day), history.quantities(day)
    return [
        {
            "user_id": history.shard.user_id(int(visits.user[visit])),
            "is_anonymous": bool(visits.is_anonymous[visit]),
            "item_id": history.catalogue.item_id(item),
            "quantity": quantity,
            "reason": REASONS[visits.reason[visit]],
        }
        for visit, item, quantity in zip(
            visits.visit.tolist(), visits.item.tolist(), quantities.tolist(), strict=True
        )
    ]


def _day_or_none(number: np.integer[Any]) -> Any:
    return None if number >= NEVER else day_of(int(number))
