"""Questions about one user: who there is, what is thought of them, what they are shown and why, what is kept back.

Every answer is rows as dicts with the tables' own column names; `schema` is today, or before for the day published
before. Tables are sorted by user, so that a question about one reads little of them.
"""

from __future__ import annotations

from typing import Any

from preview.reading import Reading, Rows

#: How far down the list a change since the day before is counted.
TOP = 10
_MOST_FOUND = 8
#: Suggestions are drawn from so many, so that no user is suggested twice.
_DRAWN = 4

_ITEM = "i.title, i.category, i.brand, i.price, i.is_cold_start as is_new_item"


def find_users(reading: Reading, prefix: str) -> Rows:
    """Return up to 8 users whose pseudonym starts with `prefix`."""
    return reading.ask(
        "select user_id, lifecycle_stage, segment from today.user_portraits"
        f" where starts_with(user_id, $prefix) order by user_id limit {_MOST_FOUND}",
        prefix=prefix.strip().lower(),
    )


def suggested_users(reading: Reading) -> dict[str, Rows]:
    """Return users worth a look, at most one per kind: richest, changed, newcomer, slipping.

    richest: most kinds of traits, each as sure as it is, and of reasons. changed: most items in the top 10
    that were not there the day before. newcomer: known by least. slipping: at risk, and spent most in 365 days.
    Reads the lists of all users.
    """
    found = {
        "richest": reading.ask(
            f"""
            with traits as (
                select user_id, sum(sure) as kinds
                from (
                    select user_id, trait, max(confidence) as sure from today.user_traits group by user_id, trait
                )
                group by user_id
            ),
            reasons as (
                select user_id, count(distinct reason_code) as kinds from today.home_recommendations
                where rank <= {TOP} group by user_id
            )
            select user_id, coalesce(t.kinds, 0) as traits, coalesce(r.kinds, 0) as reasons
            from today.user_portraits as p
            left join traits as t using (user_id)
            left join reasons as r using (user_id)
            order by traits + reasons desc, p.confidence desc, p.orders_365d desc, user_id limit {_DRAWN}"""
        ),
        "changed": reading.ask(
            f"""
            select t.user_id, count(*) as new_items
            from today.home_recommendations as t
            semi join before.home_recommendations as u on t.user_id = u.user_id
            anti join (from before.home_recommendations where rank <= {TOP}) as b
                on t.user_id = b.user_id and t.surface = b.surface and t.item_id = b.item_id
            where t.rank <= {TOP} and t.surface = 'home'
            group by t.user_id order by new_items desc, t.user_id limit {_DRAWN}"""
        ),
        "newcomer": reading.ask(
            f"""
            select user_id from today.user_portraits
            where is_cold_start or lifecycle_stage = 'new'
            order by is_cold_start desc, orders_365d, confidence, user_id limit {_DRAWN}"""
        ),
        "slipping": reading.ask(
            f"""
            select user_id, amount_spent_365d from today.user_portraits where lifecycle_stage = 'at_risk'
            order by amount_spent_365d desc, user_id limit {_DRAWN}"""
        ),
    }
    taken: set[str] = set()
    chosen = {}
    for kind, rows in found.items():
        fresh = [row for row in rows if row["user_id"] not in taken][:1]
        taken.update(row["user_id"] for row in fresh)
        if fresh:
            chosen[kind] = fresh
    return chosen


def portrait(reading: Reading, user_id: str, schema: str = "today") -> dict[str, Any] | None:
    """Return a user's portrait with the name and description of the taste segment; None for nobody's id."""
    rows = reading.ask(
        "select p.*, s.name as taste_name, s.name_zh as taste_name_zh,"
        " s.description as taste_description, s.description_zh as taste_description_zh"
        f" from {schema}.user_portraits as p left join {schema}.taste_segments as s using (taste_segment)"
        " where p.user_id = $user_id",
        user_id=user_id,
    )
    return rows[0] if rows else None


def traits(reading: Reading, user_id: str, schema: str = "today") -> Rows:
    """Return what is believed of a user, kind by kind, the surest of each first."""
    return reading.ask(
        f"select * from {schema}.user_traits where user_id = $user_id"
        " order by trait, coalesce(strength, 0) desc, confidence desc, subject",
        user_id=user_id,
    )


def page(reading: Reading, user_id: str, schema: str = "today") -> Rows:
    """Return a user's home page, top to bottom, with the items' own columns and those of the list."""
    return reading.ask(
        f"""
        with listed as (from {schema}.home_recommendations where user_id = $user_id)
        select l.*, {_ITEM}, r.candidate_source, r.rank as list_rank, r.contribution,
            coalesce(r.is_promoted, false) as is_promoted
        from {schema}.homepage_layouts as l
        left join listed as r using (recommendation_id)
        left join {schema}.item_portraits as i on l.content_type = 'item' and l.content_id = i.item_id
        where l.user_id = $user_id order by l.slot""",
        user_id=user_id,
    )


def ranked_list(reading: Reading, user_id: str, schema: str = "today") -> Rows:
    """Return a user's list for the home page, best first, with the items' own columns."""
    return reading.ask(
        f"""
        select r.*, {_ITEM} from {schema}.home_recommendations as r
        left join {schema}.item_portraits as i using (item_id)
        where r.user_id = $user_id and r.surface = 'home' order by r.rank""",
        user_id=user_id,
    )


def explanations(reading: Reading, user_id: str) -> dict[str, Rows]:
    """Return the evidence and the parts behind a user's list, by recommendation, with the names of items."""
    rows = reading.ask(
        """
        with listed as (select recommendation_id from today.home_recommendations where user_id = $user_id)
        select e.*, i.title as evidence_title
        from today.recommendation_explanations as e
        semi join listed using (recommendation_id)
        left join today.item_portraits as i on e.evidence_type = 'item' and e.evidence_id = i.item_id
        order by e.recommendation_id, e.kind, e.reason_rank""",
        user_id=user_id,
    )
    found: dict[str, Rows] = {}
    for row in rows:
        found.setdefault(row["recommendation_id"], []).append(row)
    return found


def filters(reading: Reading, user_id: str) -> Rows:
    """Return what rules did to a user's items, those nearest the top of the list first."""
    return reading.ask(
        f"""
        select f.*, {_ITEM} from today.recommendation_filters as f
        left join today.item_portraits as i using (item_id)
        where f.user_id = $user_id
        order by coalesce(f.rank_before, f.rank_after, 1000000), f.item_id, f.rule""",
        user_id=user_id,
    )


def item_titles(reading: Reading, item_ids: list[str]) -> dict[str, str]:
    """Return the names of items that have a portrait."""
    rows = reading.ask(
        "select item_id, title from today.item_portraits where item_id in $ids", ids=item_ids or [""]
    )
    return {row["item_id"]: row["title"] for row in rows}


def as_page(ranked: Rows) -> Rows:
    """Return a list as the rows of a page with one module, for users without a page."""
    return [
        {
            **row,
            "module": "for_you",
            "module_rank": 1,
            "module_title": "For you",
            "module_title_zh": "为你推荐",
            "content_type": "item",
            "content_id": row["item_id"],
            "list_rank": row["rank"],
        }
        for row in ranked
    ]
