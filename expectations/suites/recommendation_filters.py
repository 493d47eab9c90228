"""Filters: what rules did is in the lists, and each of the shop's own rules is named."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, matches, one_of, published_suite

_RERANK = "See the report and the log of the recommend step, and ml/rerank."
_RULES = (
    *("already_bought", "dismissed", "returned", "not_on_sale", "seen_too_often", "blocked", "pinned", "boosted"),
    *("brand_cap", "category_cap", "variety", "tail_share", "exploration"),
)
_ACTIONS = ("removed", "moved_down", "moved_up", "inserted")

RECOMMENDATION_FILTERS = published_suite(
    "recommendation_filters",
    "row",
    one_of("Every rule is known", "rule", _RULES, _RERANK),
    one_of("Every action is known", "action", _ACTIONS, _RERANK),
    between("Every place by score is counted from 1", "rank_before", 1, None, _RERANK),
    between("Every place in a list is of 1 to 20", "rank_after", 1, 20, _RERANK),
    matches("Every row says what was seen", "detail", r"\S", "some letter", _RERANK),
    FigureCheck(
        "What was taken out is not shown, what was moved stands where it is said",
        from_sql("""
            with told as (
                select
                    filters.user_id,
                    filters.rank_after is distinct from home.rank as is_wrong
                from published.recommendation_filters as filters
                left join published.home_recommendations as home
                    on
                        filters.user_id = home.user_id
                        and filters.surface = home.surface
                        and filters.item_id = home.item_id
            )
            select count(*) filter (where is_wrong), count(*), min(user_id) filter (where is_wrong) from told
        """),
        "rows",
        _RERANK,
        low=0,
        high=0,
        column="rank_after",
    ),
    FigureCheck(
        "Rules of the shop are named where they are behind it, and only there",
        from_sql("""
            with told as (
                select user_id, (rule in ('blocked', 'pinned', 'boosted')) <> (rule_id is not null) as is_wrong
                from published.recommendation_filters
            )
            select count(*) filter (where is_wrong), count(*), min(user_id) filter (where is_wrong) from told
        """),
        "rows",
        _RERANK,
        low=0,
        high=0,
        column="rule_id",
    ),
    FigureCheck(
        "Every item drawn to explore has its row",
        from_sql("""
            with drawn as (
                select user_id, surface, item_id from published.home_recommendations where is_exploration
            ),
            told as (
                select user_id, surface, item_id from published.recommendation_filters where rule = 'exploration'
            )
            select
                (select count(*) from (select * from drawn except select * from told))
                + (select count(*) from (select * from told except select * from drawn)),
                (select count(*) from drawn)
        """),
        "rows",
        _RERANK,
        low=0,
        high=0,
        column="rule",
    ),
)
