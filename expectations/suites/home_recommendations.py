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
    one_of("Every reason rests on an item or a segment", "evidence_type", ("item", "segment"), _MODEL),
    matches("Every reason can be read in English", "reason_text", r"\S", "some letter", _MODEL),
    matches(
        "Every reason can be read in Chinese", "reason_text_zh", r"[\u4e00-\u9fff]", "some Chinese letter", _MODEL
    ),
    FigureCheck(
        "Every user has a full list, ranked without gaps",
        from_sql("""
            with active as (select least(20, count(*)) as wanted from features.item_features where is_active),
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
                    coalesce(items = wanted and ranks = wanted and last = wanted, false) as is_full
                from published.user_portraits as portraits
                cross join active
                left join lists on portraits.user_id = lists.user_id
            )
            select count(*) filter (where not is_full), sum(items), min(user_id) filter (where not is_full)
            from users
        """),
        "users without a full list of 20, or of all active items",
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
        "The evidence of every reason is in the catalogue, or a segment",
        from_sql("""
            with judged as (
                select
                    evidence_id,
                    case evidence_type
                        when 'item' then evidence_id in (select item_id from features.item_features)
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
