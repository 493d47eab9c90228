"""The campaign for a user's hero: that of which the user would buy something most likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.homepage.candidates import Candidates
from ml.homepage.inputs import PageInputs
from ml.homepage.layout import Listed, place_in_group
from ml.homepage.settings import PageSettings

IN_LIST, IN_TASTE = 0, 1  # kinds: covers an item of the list; covers what the user looked at lately

_LATELY = """
select
    "user", item, weight_90d, coalesce(epoch_us(looked_at), 0) as looked_at,
    cast(is_unwanted as integer) as unwanted
from history
where weight_90d > 0
order by "user", looked_at desc, item
"""


@dataclass(frozen=True)
class Campaigns:
    """The campaigns on, by id; `covers` is one boolean array over the items for each."""

    campaign_ids: list[str]
    names: list[str]
    covers: list[np.ndarray]


def load_campaigns(inputs: PageInputs) -> Campaigns:
    """Read the campaigns that run and the items that they cover and may be shown."""
    rows = inputs.connection.execute("""
        select campaigns.campaign_id, any_value(campaigns.campaign_name), list(items.item order by items.item)
        from features.features.active_campaigns as campaigns
        inner join items using (item_id)
        where items.is_shown
        group by campaigns.campaign_id
        order by campaigns.campaign_id
    """).fetchall()
    covers = [np.isin(np.arange(len(inputs.item_ids)), items) for _, _, items in rows]
    return Campaigns([row[0] for row in rows], [row[1] for row in rows], covers)


def choose_campaigns(
    inputs: PageInputs,
    campaigns: Campaigns,
    listed: Listed,
    floor: np.ndarray,
    users: np.ndarray,
    settings: PageSettings,
) -> tuple[Candidates, np.ndarray]:
    """Choose a hero for each user of the open shard whom a campaign suits, and its chance.

    The chance is that the user buys one of the list's items in it, 1 - prod(1 - p); what the campaign covers of
    the user's own last 90 days counts as that share of one more item of chance `floor`. A campaign suits a user
    if it covers enough of the list's chances or of these 90 days. Costs campaigns x (rows of the lists + history).

    Args:
        inputs: with the shard open.
        campaigns: those that run.
        listed: the users' lists.
        floor: chance of each user's least likely row of the list, by user from the shard's first.
        users: the shard's users, without gaps.
        settings: least_fit.

    Returns:
        one row a user served: `item` is the campaign's place, `evidence` the covered item that tells why.

    """
    first, n_users = int(users[0]), len(users)
    lately = inputs.fetch(_LATELY)
    weight = np.bincount(lately["user"] - first, lately["weight_90d"], n_users)
    hope = np.bincount(listed.user - first, listed.probability, n_users)
    best = np.zeros(n_users)
    campaign, kind, evidence = (np.full(n_users, -1) for _ in range(3))
    for number, covers in enumerate(campaigns.covers):
        in_list = covers[listed.item]
        missed = np.bincount(listed.user - first, np.where(in_list, np.log1p(-listed.probability), 0.0), n_users)
        of_taste = covers[lately["item"]]
        acted = np.bincount((lately["user"] - first)[of_taste], lately["weight_90d"][of_taste], n_users)
        taste = acted / np.maximum(weight, 1.0)
        told_by_list = _first(listed.user[in_list] - first, listed.item[in_list], n_users)
        looked_at = of_taste & (lately["looked_at"] > 0) & (lately["unwanted"] == 0)
        told_by_look = _first((lately["user"] - first)[looked_at], lately["item"][looked_at], n_users)
        of_list = np.bincount(listed.user - first, np.where(in_list, listed.probability, 0.0), n_users)
        is_pick = (told_by_list >= 0) & (of_list >= settings.least_fit * hope)
        suits = is_pick | ((told_by_look >= 0) & (taste >= settings.least_fit))
        chance = np.where(suits, np.round(1.0 - np.exp(missed) * (1.0 - taste * floor), 9), 0.0)
        better = chance > best
        best = np.where(better, chance, best)
        campaign[better] = number
        kind[better] = np.where(is_pick, IN_LIST, IN_TASTE)[better]
        evidence[better] = np.where(is_pick, told_by_list, told_by_look)[better]
    served = np.flatnonzero(campaign >= 0)
    return Candidates(users[served], campaign[served], kind[served], evidence[served]), best[served]


def _first(user: np.ndarray, item: np.ndarray, n_users: int) -> np.ndarray:
    """Return each user's first item, -1 of one who has none; a user's rows lie together."""
    found = np.full(n_users, -1)
    begins = place_in_group(user) == 0
    found[user[begins]] = item[begins]
    return found
