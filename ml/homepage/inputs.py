"""What pages are made from: the day's features and lists, users and items by position in the sorted ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from expectations.tables import outputs_dir
from ml.homepage.settings import PageSettings
from ml.homepage.texts import price_evidence
from ml.recommender.dataset import connect, last_day_in
from ml.rerank.attributes import load_attributes
from ml.rerank.rules import Rules, load_rules
from qianmian.step import StepError

SURFACE = "home"
SHARD_USERS = 5_000  # with 20 list rows and some 200 candidates each: 200 MB

#: Made once a day. An item is shown where it is on sale and no rule blocks it.
_SHOP = """
create temp table items as
select
    row_number() over (order by item_id) - 1 as item, item_id, title, category, created_on, popularity,
    is_active and item_id not in (select item_id from blocked) as is_shown
from features.features.item_features
order by item_id;

create temp table users as
select row_number() over (order by user_id) - 1 as "user", user_id, segment, region, favorite_category
from features.features.user_features
order by user_id;

create temp table similar_to as
select
    items.item, others.item as other, similar_items.rank,
    similar_items.reason_code = 'bought_together' as is_together
from similar_items
inner join items using (item_id)
inner join items as others on others.item_id = similar_items.similar_item_id
where others.is_shown
qualify similar_items.score >= getvariable('least_alike') * max(similar_items.score) over (partition by items.item)
order by items.item, similar_items.rank;

create temp table drops as
select
    items.item, items.category, items.popularity, price_drops.price_before, price_drops.price,
    row_number() over (partition by items.category order by items.popularity desc, items.item) as place
from features.features.price_drops as price_drops
inner join items using (item_id)
where items.is_shown
"""

_POPULAR = """
create or replace temp table popular_in as
select 'region' as kind, region as name, items.item, rank
from features.features.region_items inner join items using (item_id)
where items.is_shown
union all
select 'segment', segment, items.item, rank
from features.features.segment_items inner join items using (item_id)
where items.is_shown
"""

#: The same for the end of getvariable('day'), which a feature table of another day cannot tell: by plain counts of
#: 30 days, for the regions that have a list.
_POPULAR_THEN = """
create or replace temp table popular_in as
with actions as (
    select users.region, users.segment, items.item, actions.event_type
    from features.features.user_actions as actions
    inner join users using (user_id)
    inner join items using (item_id)
    where
        actions.event_date <= getvariable('day') and actions.event_date > getvariable('day') - 30
        and actions.event_type not in ('dismiss', 'return') and items.is_shown
),
counted as (
    select 'region' as kind, region as name, item, count(*) as actions
    from actions
    where event_type = 'purchase' and region in (select region from features.features.region_items)
    group by all
    union all
    select 'segment', segment, item, count(*) from actions group by all
    union all
    select 'segment', 'all', item, count(*) from actions group by all
)
select kind, name, item, row_number() over (partition by kind, name order by actions desc, item) as rank
from counted
qualify rank <= 100;
"""

#: Made for a shard of users, as known at the end of getvariable('day'): what each did, and which items a module
#: may not show (bought, sent back or dismissed since, seen too often). Whole-number weights: their sums do not
#: depend on the order in which threads add.
_SHARD = """
create or replace temp table shard_users as
select "user", user_id, segment, region, favorite_category
from users
where "user" between getvariable('first_user') and getvariable('last_user');

create or replace temp table history as
select
    shard_users."user", items.item,
    count(distinct event_date) filter (where event_type = 'purchase') as days_bought,
    min(event_date) filter (where event_type = 'purchase') as first_bought_on,
    max(event_date) filter (where event_type = 'purchase') as last_bought_on,
    max(event_at) filter (where event_type in ('view', 'click', 'cart', 'favorite')) as looked_at,
    count(*) filter (where event_type in ('cart', 'favorite')) > 0
    or count(*) filter (where event_type in ('view', 'click')) > 1 as is_strong,
    coalesce(
        max(event_at) filter (where event_type in ('dismiss', 'return'))
        >= max(event_at) filter (where event_type = 'purchase'),
        bool_or(event_type in ('dismiss', 'return'))
    ) as is_unwanted,
    coalesce(sum(
        case event_type when 'purchase' then 5 when 'cart' then 3 when 'favorite' then 3 when 'rating' then 2
            when 'click' then 1 when 'view' then 1 else 0 end
    ) filter (where event_date > getvariable('day') - 90), 0) as weight_90d
from features.features.user_actions
inner join shard_users using (user_id)
inner join items using (item_id)
where event_date <= getvariable('day')
group by shard_users."user", items.item;

create or replace temp table barred as
select "user", item from history
where days_bought > 0 or is_unwanted
union
select shard_users."user", items.item
from features.features.user_impressions
inner join shard_users using (user_id)
inner join items using (item_id)
where impressions_14d >= getvariable('seen_too_often')
"""

_LIST = """
select
    shard_users."user", items.item, home.rank, home.probability, home.recommendation_id, home.reason_code,
    home.reason_text, home.reason_text_zh, home.evidence_type, home.evidence_id, home.is_exploration,
    home.propensity
from home_recommendations as home
inner join shard_users using (user_id)
inner join items using (item_id)
where items.is_shown and home.surface = 'home'
order by shard_users."user", home.rank
"""


@dataclass(frozen=True)
class Lists:
    """The shard's rows of home_recommendations, by user and rank: all arrays have one entry a row."""

    user: np.ndarray
    item: np.ndarray
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.user)


class PageInputs:
    """The day's tables in one DuckDB connection, which reads the features and writes nothing."""

    def __init__(self, lake: Path, as_of: str, settings: PageSettings) -> None:
        """Open the tables.

        Raises:
            StepError: the features were not built, or the lists not made for the day.

        """
        self.settings = settings
        for name in ("home_recommendations", "similar_items"):
            if not (outputs_dir(lake, as_of) / f"{name}.parquet").is_file():
                raise StepError(
                    f"{outputs_dir(lake, as_of) / f'{name}.parquet'} is not there.",
                    f"Make the day's lists first: python -m ml.recommender.recommend_home --as-of {as_of}.",
                )
        self.connection = connect(lake)
        self.last_day = last_day_in(self.connection, as_of)
        self.connection.execute("set preserve_insertion_order = true")
        for name in ("home_recommendations", "similar_items"):
            file = str(outputs_dir(lake, as_of) / f"{name}.parquet").replace("'", "''")
            # The folder's as_of_date=... is no column of the table.
            self.connection.execute(
                f"create temp view {name} as from read_parquet('{file}', hive_partitioning = false)"
            )
        self._read_blocked()
        self.connection.execute(f"set variable least_alike = {settings.least_alike}")
        self.connection.execute(_SHOP)
        self.read_popular()
        items = self.connection.execute(
            "select item_id, title, coalesce(category, '') as category, is_shown from items order by item"
        ).fetchnumpy()
        self.item_ids, self.titles, self.categories = (
            strings(items[name]) for name in ("item_id", "title", "category")
        )
        self.is_shown = np.asarray(items["is_shown"], dtype=bool)
        users = self.connection.execute(
            """
            select
                user_id, coalesce(region, '') as region,
                case when segment in (select name from popular_in where kind = 'segment')
                    then segment else 'all' end as segment
            from users
            order by "user"
            """
        ).fetchnumpy()
        self.user_ids, self.regions = strings(users["user_id"]), strings(users["region"])
        # Whose popular items a user gets where the region has none.
        self.popular_segments = strings(users["segment"])
        self.price_evidence = np.full(len(self.item_ids), "", dtype=object)
        for item, before, now in self.connection.execute("select item, price_before, price from drops").fetchall():
            self.price_evidence[item] = price_evidence(before, now)
        # Exact, so that it is the same to the last bit whichever thread adds first.
        [(usual,)] = self.connection.execute("""
            select avg(chance) from (
                select cast(min(probability) as decimal(18, 9)) as chance
                from home_recommendations
                where not is_exploration
                group by user_id
            )
        """).fetchall()
        self.usual_floor = float(usual or 0.0)

    def _read_blocked(self) -> None:
        """Name the items that a rule of the shop keeps from the home page."""
        attributes = load_attributes(self.connection)
        rules = Rules.of(load_rules(self.connection), SURFACE, attributes)
        self.n_rules = len(rules.rules)
        blocked = pa.table({"item_id": pa.array(attributes.item_ids[rules.blocked], pa.string())})
        self.connection.register("blocked", blocked)

    def read_popular(self, days_earlier: int = 0) -> None:
        """Gather what is popular on the shop's last day, or what was some days before it."""
        self._set_day(days_earlier)
        self.connection.execute(_POPULAR_THEN if days_earlier else _POPULAR)

    def _set_day(self, days_earlier: int) -> None:
        day = self.last_day - timedelta(days=days_earlier)
        self.connection.execute(f"set variable day = date '{day}'")

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def shards(self, users: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield first and last user of each shard, of all users or of the first `users`."""
        n_users = min(len(self.user_ids), users or len(self.user_ids))
        for first in range(0, n_users, SHARD_USERS):
            yield first, min(first + SHARD_USERS, n_users) - 1

    def open_shard(self, first: int, last: int, days_earlier: int = 0) -> None:
        """Gather what the shard's users did up to the day, or up to some days before it.

        What users were shown is known for the day only: what it bars was not bought since, so that an earlier day
        does without.
        """
        seen_too_often = "null" if days_earlier else self.settings.seen_too_often or "null"
        self.connection.execute(f"set variable seen_too_often = {seen_too_often}")
        self._set_day(days_earlier)
        self.connection.execute(f"set variable first_user = {first}")
        self.connection.execute(f"set variable last_user = {last}")
        self.connection.execute(_SHARD)

    def lists(self) -> Lists:
        """Read the open shard's lists; what may not be shown any more is left out."""
        rows = self.connection.execute(_LIST).fetchnumpy()
        user, item = integers(rows.pop("user")), integers(rows.pop("item"))
        return Lists(user, item, {name: np.ma.getdata(column) for name, column in rows.items()})

    def fetch(self, sql: str, parameters: dict[str, float] | None = None) -> dict[str, np.ndarray]:
        """Ask the open shard's tables; missing numbers come as 0."""
        rows = self.connection.execute(sql, parameters or {}).fetchnumpy()
        return {name: integers(column) for name, column in rows.items()}


def strings(values: Any) -> np.ndarray:
    """Return a column of text as an array of objects, '' where it is missing."""
    return np.asarray(np.ma.filled(values, ""), dtype=object)


def integers(values: Any) -> np.ndarray:
    """Return a column of whole numbers, 0 where it is missing."""
    return np.asarray(np.ma.filled(values, 0), dtype=np.int64)
