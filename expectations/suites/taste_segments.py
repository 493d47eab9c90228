"""Taste segments: named, described, and together all users."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, matches, published_suite

_MODEL = "See the report and the log of the portray step, and ml/portraits/segments.py."

TASTE_SEGMENTS = published_suite(
    "taste_segments",
    "taste segment",
    between("Every segment's share is a share", "share", 0, 1, _MODEL),
    between("No segment has less than no users", "users", 0, None, _MODEL),
    between("Every lift of a category is above zero", "top_category_lift", 0, None, _MODEL, above=True),
    between("Every lift of a brand is above zero", "top_brand_lift", 0, None, _MODEL, above=True),
    matches("Every name can be read in English", "name", r"[A-Za-z0-9]", "some letter or digit", _MODEL),
    matches("Every name can be read in Chinese", "name_zh", r"[\u4e00-\u9fff]", "some Chinese letter", _MODEL),
    matches("Every description can be read in English", "description", r"[A-Za-z]", "some letter", _MODEL),
    matches(
        "Every description can be read in Chinese",
        "description_zh",
        r"[\u4e00-\u9fff]",
        "some Chinese letter",
        _MODEL,
    ),
    FigureCheck(
        "No two segments have one name",
        from_sql("""
            select 2 * count(*) - count(distinct name) - count(distinct name_zh), count(*)
            from published.taste_segments
        """),
        "names twice",
        _MODEL,
        low=0,
        high=0,
        column="name",
    ),
    FigureCheck(
        "Every segment has as many users as are in it",
        from_sql("""
            with counted as (
                select taste_segment, count(*) as users from published.user_portraits group by taste_segment
            ),
            joined as (
                select
                    coalesce(segments.taste_segment, counted.taste_segment) as taste_segment,
                    coalesce(segments.users, 0) as told,
                    coalesce(counted.users, 0) as there
                from published.taste_segments as segments
                full outer join counted on segments.taste_segment = counted.taste_segment
            )
            select count(*) filter (where told <> there), count(*), min(taste_segment) filter (where told <> there)
            from joined
        """),
        "segments otherwise",
        "The segments are of another run than the portraits: run portray and tables again for this day.",
        low=0,
        high=0,
        column="users",
    ),
)
