"""What each module could show: for every user of the open shard, items in the order in which it would show them.

One statement a module, over the tables of `inputs.py`. `kind` tells how the item came in, `evidence` what the
reason rests on: days between purchases (buy again), the item looked at (because you viewed). What the user has
bought, sent back, dismissed or seen too often is in none but buy again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ml.homepage.inputs import PageInputs
from ml.homepage.settings import BUY_AGAIN, NEW, POPULAR, PRICE_DROPS, VIEWED, PageSettings

HABIT, TWICE = 0, 1  # kinds of buy again
IN_REGION, IN_SEGMENT = 0, 1  # kinds of popular
SIMILAR, TOGETHER = 0, 1  # kinds of because_you_viewed
LOOKED_AT, IN_FAVORITE = 0, 1  # kinds of price drops
FOLLOWED, ANYWHERE = 0, 1  # kinds of new

#: Bought on two days or more, and the usual gap is about over. Most often bought first.
_BUY_AGAIN = """
with rhythms as (
    select
        "user", item, days_bought,
        (last_bought_on - first_bought_on) / (days_bought - 1) as gap,
        getvariable('day') - last_bought_on as days_since
    from history
    where days_bought > 1 and not is_unwanted
)
select "user", item, cast(days_bought = 2 as integer) as kind, cast(round(gap) as bigint) as evidence
from rhythms
where days_since >= $due_from * gap and days_since <= $due_until * gap
order by "user", days_bought desc, item
"""

#: What the user looked at, latest first; then the best known of the favorite category.
_PRICE_DROPS = """
with wanted as (
    select history."user", history.item, 0 as kind, history.looked_at, drops.popularity
    from history
    inner join drops using (item)
    anti join barred using ("user", item)
    where
        cast(history.looked_at as date) > getvariable('day') - cast($interest_days as integer)
    union all
    select shard_users."user", drops.item, 1 as kind, null as looked_at, drops.popularity
    from shard_users
    inner join drops on shard_users.favorite_category = drops.category and drops.place <= 2 * $most
    anti join barred on shard_users."user" = barred."user" and drops.item = barred.item
)
select "user", item, kind, 0 as evidence
from wanted
order by "user", kind, looked_at desc, popularity desc, item
"""

#: The latest look, one with a second look, a cart or a favorite behind it before any other.
_VIEWED = """
with anchors as (
    select "user", item
    from history
    anti join barred using ("user", item)
    where
        cast(looked_at as date) > getvariable('day') - cast($look_days as integer)
        and item in (select item from similar_to group by item having count(*) >= $least)
    qualify row_number() over (partition by "user" order by is_strong desc, looked_at desc, item) = 1
)
select
    anchors."user", similar_to.other as item, cast(similar_to.is_together as integer) as kind,
    anchors.item as evidence
from anchors
inner join similar_to using (item)
anti join barred on anchors."user" = barred."user" and similar_to.other = barred.item
order by anchors."user", similar_to.rank
"""

#: The best known new items of each category that the user follows, in turn; of every category for a user who
#: follows none.
_NEW = """
with fresh as (
    select
        item, category,
        row_number() over (partition by category order by popularity desc, item) as place
    from items
    where
        is_shown and category is not null
        and created_on > getvariable('day') - cast($new_days as integer) and created_on <= getvariable('day')
    qualify
        count(*) over ()
        <= $most_new * (select count(*) from items where is_shown and created_on <= getvariable('day'))
        and place <= 2 * $most
),
followed as (
    select history."user", items.category, sum(history.weight_90d) as weight
    from history
    inner join items using (item)
    where items.category is not null
    group by history."user", items.category
    having sum(history.weight_90d) >= 3
    qualify
        weight >= $followed_share * sum(weight) over (partition by history."user")
        and row_number() over (partition by history."user" order by weight desc, items.category)
        <= $followed_categories
),
wanted as (
    select "user", category, 0 as kind, weight from followed
    union all
    select shard_users."user", categories.category, 1, 0
    from shard_users
    cross join (select distinct category from fresh) as categories
    where shard_users."user" not in (select "user" from followed)
)
select wanted."user", fresh.item, wanted.kind, 0 as evidence
from wanted
inner join fresh using (category)
anti join barred on wanted."user" = barred."user" and fresh.item = barred.item
where wanted.kind = 0 or fresh.place <= 2
order by wanted."user", fresh.place, wanted.weight desc, wanted.category
"""

#: Of the user's region, or else of the segment.
_POPULAR = """
with homes as (
    select "user", 'region' as kind, region as name from shard_users
    union all
    select "user", 'segment', case when segment in (select name from popular_in where kind = 'segment')
        then segment else 'all' end
    from shard_users
)
select homes."user", popular_in.item, cast(homes.kind = 'segment' as integer) as kind, 0 as evidence
from homes
inner join popular_in on homes.kind = popular_in.kind and homes.name = popular_in.name
anti join barred on homes."user" = barred."user" and popular_in.item = barred.item
where popular_in.rank <= 7 * $most
order by homes."user", homes.kind, popular_in.rank
"""

KINDS = 2  # of a module at most

_STATEMENTS = {
    BUY_AGAIN: _BUY_AGAIN,
    PRICE_DROPS: _PRICE_DROPS,
    VIEWED: _VIEWED,
    NEW: _NEW,
    POPULAR: _POPULAR,
}


@dataclass(frozen=True)
class Candidates:
    """What one module could show, by user, best first: all arrays have one entry a candidate."""

    user: np.ndarray
    item: np.ndarray
    kind: np.ndarray
    evidence: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def of(self, chosen: np.ndarray) -> Candidates:
        """Return those that a mask, or positions, choose."""
        return Candidates(self.user[chosen], self.item[chosen], self.kind[chosen], self.evidence[chosen])


def candidates(inputs: PageInputs, module: str, settings: PageSettings) -> Candidates:
    """Gather a module's candidates for the users of the open shard; only what may be shown."""
    least, most = settings.sizes[module]
    known = {
        "least": least,
        "most": most,
        "due_from": settings.due_from,
        "due_until": settings.due_until,
        "interest_days": settings.interest_days,
        "look_days": settings.look_days,
        "new_days": settings.new_days,
        "most_new": settings.most_new,
        "followed_categories": settings.followed_categories,
        "followed_share": settings.followed_share,
    }
    sql = _STATEMENTS[module]
    rows = inputs.fetch(sql, {name: known[name] for name in set(re.findall(r"\$(\w+)", sql))})
    found = Candidates(rows["user"], rows["item"], rows["kind"], rows["evidence"])
    return found.of(inputs.is_shown[found.item])
