"""Explanations: each recommendation with its reason first, and parts that add up to its score."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, one_of, published_suite

_MODEL = "See the report and the log of the recommend step, and ml/explain."
_TYPES = ("item", "segment", "category", "part")

RECOMMENDATION_EXPLANATIONS = published_suite(
    "recommendation_explanations",
    "explanation",
    one_of("Every row is evidence or a part", "kind", ("evidence", "part"), _MODEL),
    one_of("Every kind of evidence is known", "evidence_type", _TYPES, _MODEL),
    one_of("Every scale is known", "scale", ("score", "log_score"), _MODEL),
    between("Every rank is counted from 1", "reason_rank", 1, None, _MODEL),
    FigureCheck(
        "The first piece of evidence is the reason shown",
        from_sql("""
            with first as (
                select recommendation_id, reason_code, evidence_type, evidence_id
                from published.recommendation_explanations
                where kind = 'evidence' and reason_rank = 1
            ),
            told as (
                select
                    home.recommendation_id,
                    coalesce(
                        first.reason_code = home.reason_code
                        and first.evidence_type = home.evidence_type
                        and first.evidence_id = home.evidence_id,
                        false
                    ) as is_same
                from published.home_recommendations as home
                left join first on home.recommendation_id = first.recommendation_id
            )
            select count(*) filter (where not is_same), count(*), min(recommendation_id) filter (where not is_same)
            from told
        """),
        "recommendations",
        _MODEL,
        low=0,
        high=0,
        column="evidence_id",
    ),
    FigureCheck(
        "The parts of a score add up to it",
        from_sql("""
            with parts as (
                select recommendation_id, any_value(scale) as scale, sum(contribution) as whole
                from published.recommendation_explanations
                where kind = 'part'
                group by recommendation_id
            ),
            told as (
                select
                    home.recommendation_id,
                    coalesce(
                        abs(parts.whole - if(parts.scale = 'score', home.score, ln(home.score)))
                        > 1e-5 * greatest(1, abs(parts.whole)),
                        true
                    ) as is_off
                from published.home_recommendations as home
                left join parts on home.recommendation_id = parts.recommendation_id
            )
            select count(*) filter (where is_off), count(*), min(recommendation_id) filter (where is_off)
            from told
        """),
        "recommendations",
        _MODEL,
        low=0,
        high=0,
        column="contribution",
    ),
    FigureCheck(
        "Every explanation is of a recommendation",
        from_sql("""
            with told as (
                select recommendation_id in (
                    select recommendation_id from published.home_recommendations
                ) as is_known, recommendation_id
                from published.recommendation_explanations
            )
            select count(*) filter (where not is_known), count(*),
                min(recommendation_id) filter (where not is_known)
            from told
        """),
        "rows",
        _MODEL,
        low=0,
        high=0,
        column="recommendation_id",
    ),
)
