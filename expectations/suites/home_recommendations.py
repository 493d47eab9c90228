"""Home recommendations: whole lists, of items that may be shown, each with its reason."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, matches, one_of, published_suite

_MODEL = "See the report and the log of the recommend step, and ml/recommender."
_SOURCES = ("item_to_item", "text", "buy_again", "popular_in_segment", "sequence_model")
_REASONS = (
    "because_you_bought",
    "because_you_viewed",
    "similar_text",
    "buy_again",
    "popular_in_segment",
    "popular",
    "new_in_category",
    "little_known",
)
_EVIDENCE = ("item", "segment", "category")
#: What a user did with what: a claim of a reason is looked up here.
_DONE = """
    done as (
        select user_id, item_id, bool_or(event_type = 'purchase') as is_bought,
            bool_or(event_type not in ('purchase', 'dismiss', 'return')) as is_viewed
        from features.user_actions
        group by user_id, item_id
    )
"""


def _claim(name: str, codes: str, holds: str, unit: str) -> FigureCheck:
    """Expect that what reasons with some codes say of the user was done with the evidence."""
    return FigureCheck(
        name,
        from_sql(f"""
            with {_DONE},
            claims as (
                select told.recommendation_id, coalesce({holds}, false) as is_true
                from published.home_recommendations as told
                left join done on told.user_id = done.user_id and told.evidence_id = done.item_id
                where told.reason_code in ({codes})
            )
            select count(*) filter (where not is_true), count(*), min(recommendation_id) filter (where not is_true)
            from claims
        """),  # noqa: S608 (codes and conditions are this file's own)
        unit,
        _MODEL,
        low=0,
        high=0,
        column="evidence_id",
    )


HOME_RECOMMENDATIONS = published_suite(
    "home_recommendations",
    "recommendation",
    one_of("Every list is for the home page", "surface", ("home",), _MODEL),
    between("Every rank is of 1 to 20", "rank", 1, 20, _MODEL),
    between("Every probability is a share", "probability", 0, 1, _MODEL),
    between("Every propensity is a share above zero", "propensity", 0, 1, _MODEL, above=True),
    one_of("Every candidate source is known", "candidate_source", _SOURCES, _MODEL),
    one_of("Every reason is known", "reason_code", _REASONS, _MODEL),
    one_of("Every reason rests on an item, a segment or a category", "evidence_type", _EVIDENCE, _MODEL),
    matches("Every reason can be read in English", "reason_text", r"\S", "some letter", _MODEL),
    matches(
        "Every reason can be read in Chinese", "reason_text_zh", r"[\u4e00-\u9fff]", "some Chinese letter", _MODEL
    ),
    FigureCheck(
        "Every user has a full list, ranked without gaps",
        from_sql("""
            with active as (select count(*) as items from features.item_features where is_active),
            -- In a small catalogue rules may leave fewer than 20 to show.
            removed as (
                select filters.user_id, count(distinct filters.item_id) as items
                from published.recommendation_filters as filters
                inner join features.item_features on filters.item_id = item_features.item_id
                where filters.action = 'removed' and item_features.is_active
                group by filters.user_id
            ),
            lists as (
                select user_id, count(*) as items, count(distinct rank) as ranks, max(rank) as last
                from published.home_recommendations
                where surface = 'home' and rank >= 1
                group by user_id
            ),
            users as (
                select
                    portraits.user_id,
                    coalesce(lists.items, 0) as items,
                    coalesce(lists.items, 0) between least(20, active.items - coalesce(removed.items, 0))
                    and least(20, active.items)
                    and coalesce(ranks = lists.items and last = lists.items, true) as is_full
                from published.user_portraits as portraits
                cross join active
                left join lists on portraits.user_id = lists.user_id
                left join removed on portraits.user_id = removed.user_id
            )
            select count(*) filter (where not is_full), sum(items), min(user_id) filter (where not is_full)
            from users
        """),
        "users without a full list of 20, or of all active items that rules leave",
        _MODEL,
        low=0,
        high=0,
        column="rank",
    ),
    FigureCheck(
        "No user is shown an item twice",
        from_sql("""
            with shown as (
                select user_id, item_id, count(*) as times
                from published.home_recommendations
                group by user_id, surface, item_id
            )
            select count(*) filter (where times > 1), coalesce(sum(times), 0),
                min(concat(user_id, ', ', item_id)) filter (where times > 1)
            from shown
        """),
        "items twice",
        _MODEL,
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Every item shown is in the catalogue and active",
        from_sql("""
            with active as (select item_id from features.item_features where is_active)
            select count(*) filter (where item_id not in (select item_id from active)), count(*),
                min(item_id) filter (where item_id not in (select item_id from active))
            from published.home_recommendations
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Every list is of a user who has a portrait",
        from_sql("""
            with users as (select user_id from published.user_portraits)
            select count(*) filter (where user_id not in (select user_id from users)), count(*),
                min(user_id) filter (where user_id not in (select user_id from users))
            from published.home_recommendations
        """),
        "rows",
        "Somebody who may not be personalised would be: run features, recommend and tables again for this day.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "The evidence of every reason is in the catalogue, a category of it, or a segment",
        from_sql("""
            with judged as (
                select
                    evidence_id,
                    case evidence_type
                        when 'item' then evidence_id in (select item_id from features.item_features)
                        when 'category' then evidence_id in (
                            select category from features.item_features where category is not null
                        )
                        else evidence_id in (
                            select segment from published.hot_items
                            union all
                            select segment from features.user_features
                        )
                    end as is_known
                from published.home_recommendations
            )
            select count(*) filter (where not is_known), count(*), min(evidence_id) filter (where not is_known)
            from judged
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="evidence_id",
    ),
    _claim(
        "Whoever is told that they bought something did",
        "'because_you_bought', 'buy_again'",
        "done.is_bought",
        "rows that nobody bought",
    ),
    _claim(
        "Whoever is told that they looked at something did",
        "'because_you_viewed'",
        "done.is_viewed",
        "rows that nobody looked at",
    ),
    _claim(
        "Whatever is like something is like what the user acted on",
        "'similar_text'",
        "done.item_id is not null",
        "rows like nothing of the user's",
    ),
    FigureCheck(
        "What is called new or little known is so by the rule for new items",
        from_sql("""
            with told as (
                select recommendation_id, is_promoted
                from published.home_recommendations
                where reason_code in ('new_in_category', 'little_known')
            )
            select count(*) filter (where not is_promoted), count(*),
                min(recommendation_id) filter (where not is_promoted)
            from told
        """),
        "rows that no rule moved",
        _MODEL,
        low=0,
        high=0,
        column="is_promoted",
    ),
    FigureCheck(
        "What is shown for certain is no exploration, and the other way round",
        from_sql("""
            with told as (
                select recommendation_id, not is_exploration and propensity < 1 as is_wrong
                from published.home_recommendations
            )
            select count(*) filter (where is_wrong), count(*), min(recommendation_id) filter (where is_wrong)
            from told
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="propensity",
    ),
    FigureCheck(
        "Nothing is shown that a rule of the shop blocks",
        from_sql("""
            with blocked as (
                select distinct items.item_id
                from features.item_features as items
                inner join features.active_rules as rules
                    on
                        rules.action = 'block'
                        and coalesce(rules.surface, 'home') = 'home'
                        and coalesce(rules.item_id, items.item_id) = items.item_id
                        and (rules.brand is null or rules.brand = items.brand)
                        and (
                            rules.category_path is null
                            or rules.category_path = items.category_path
                            or starts_with(items.category_path, concat(rules.category_path, ' > '))
                        )
            )
            select count(*) filter (where item_id in (select item_id from blocked)), count(*),
                min(item_id) filter (where item_id in (select item_id from blocked))
            from published.home_recommendations
        """),
        "rows",
        "See ml/rerank/rules.py and the rules of the day, features.active_rules.",
        low=0,
        high=0,
        column="item_id",
    ),
    FigureCheck(
        "Every recommendation can be named by later events",
        from_sql("""
            select count(*) - count(distinct recommendation_id), count(*) from published.home_recommendations
        """),
        "ids twice",
        _MODEL,
        low=0,
        high=0,
        column="recommendation_id",
    ),
)
