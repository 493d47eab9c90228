"""Home pages: whole pages, nothing twice, only what may be shown, each slot with its reason."""

from __future__ import annotations

from expectations.checks import FigureCheck, between, from_sql, matches, one_of, published_suite

_PAGES = "See the report and the log of the step lay_out_pages, and ml/homepage."
_MODULES = (
    *("hero_campaign", "for_you", "buy_again", "because_you_viewed", "price_drops", "new_for_you"),
    *("popular_near_you", "ad"),
)
_EVIDENCE = ("item", "segment", "category", "region", "rhythm", "price")
_CHINESE = r"[\u4e00-\u9fff]"

HOMEPAGE_LAYOUTS = published_suite(
    "homepage_layouts",
    "slot",
    one_of("Every module is known", "module", _MODULES, _PAGES),
    one_of(
        "Every content is an item, a campaign or an ad slot", "content_type", ("item", "campaign", "ad"), _PAGES
    ),
    one_of("Every kind of evidence is known", "evidence_type", _EVIDENCE, _PAGES),
    between("Every probability is a share", "probability", 0, 1, _PAGES),
    between("Every propensity is a share above zero", "propensity", 0, 1, _PAGES, above=True),
    between("No slot is worth less than nothing", "expected_value", 0, 1, _PAGES),
    matches("Every title can be read in English", "module_title", r"\S", "some letter", _PAGES),
    matches(
        "Every title can be read in Chinese", "module_title_zh", r"[\u4e00-\u9fff]", "a Chinese letter", _PAGES
    ),
    matches("Every reason can be read in English", "reason_text", r"\S", "some letter", _PAGES),
    matches(
        "Every reason can be read in Chinese", "reason_text_zh", r"[\u4e00-\u9fff]", "a Chinese letter", _PAGES
    ),
    FigureCheck(
        "Every user with recommendations has a page, and nobody else",
        from_sql("""
            with pages as (select distinct user_id from published.homepage_layouts where content_type = 'item'),
            users as (select distinct user_id from published.home_recommendations),
            both_sides as (
                select coalesce(pages.user_id, users.user_id) as user_id,
                    pages.user_id is null or users.user_id is null as is_wrong
                from pages full join users using (user_id)
            )
            select count(*) filter (where is_wrong), count(*), min(user_id) filter (where is_wrong) from both_sides
        """),
        "users",
        _PAGES,
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "Slots of a page are numbered from 1 without gaps",
        from_sql("""
            with pages as (
                select
                    user_id, count(*) as slots, count(distinct slot) as numbers,
                    min(slot) as first, max(slot) as last
                from published.homepage_layouts
                group by user_id
            )
            select count(*) filter (where first <> 1 or last <> slots or numbers <> slots),
                coalesce(sum(slots), 0),
                min(user_id) filter (where first <> 1 or last <> slots or numbers <> slots)
            from pages
        """),
        "pages with gaps",
        _PAGES,
        low=0,
        high=0,
        column="slot",
    ),
    FigureCheck(
        "Modules follow each other from 1, each with its items from 1, in the order of the slots",
        from_sql("""
            with told as (
                select
                    user_id, slot,
                    dense_rank() over (partition by user_id order by module_rank) as nth_module,
                    row_number() over (partition by user_id, module_rank order by slot) as nth_item,
                    row_number() over (partition by user_id order by module_rank, rank) as nth_slot,
                    count(distinct module) over (partition by user_id, module_rank) as modules,
                    count(distinct module_rank) over (partition by user_id, module) as places,
                    count(distinct module_title) over (partition by user_id, module_rank) as titles,
                    module_rank, rank
                from published.homepage_layouts
            ),
            judged as (
                select
                    user_id,
                    nth_module <> module_rank or nth_item <> rank or nth_slot <> slot
                    or modules <> 1 or places <> 1 or titles <> 1 as is_wrong
                from told
            )
            select count(*) filter (where is_wrong), count(*), min(user_id) filter (where is_wrong) from judged
        """),
        "slots out of order",
        _PAGES,
        low=0,
        high=0,
        column="module_rank",
    ),
    FigureCheck(
        "Nothing stands twice on a page",
        from_sql("""
            with shown as (
                select user_id, content_id, count(*) as times
                from published.homepage_layouts
                group by user_id, content_type, content_id
            )
            select count(*) filter (where times > 1), coalesce(sum(times), 0),
                min(concat(user_id, ', ', content_id)) filter (where times > 1)
            from shown
        """),
        "contents twice",
        _PAGES,
        low=0,
        high=0,
        column="content_id",
    ),
    FigureCheck(
        "Every module has as many contents as it should",
        from_sql("""
            with sizes (module, low, high) as (
                -- the page's default settings
                values ('hero_campaign', 1, 1), ('for_you', 1, 20), ('buy_again', 1, 6),
                    ('because_you_viewed', 3, 8), ('price_drops', 2, 8), ('new_for_you', 3, 8),
                    ('popular_near_you', 4, 10), ('ad', 1, 10)
            ),
            modules as (
                select user_id, module, count(*) as contents
                from published.homepage_layouts
                group by user_id, module
            ),
            judged as (
                select user_id, module, contents, not coalesce(contents between low and high, false) as is_wrong
                from modules
                left join sizes using (module)
            )
            select count(*) filter (where is_wrong), coalesce(sum(contents), 0),
                min(concat(user_id, ', ', module)) filter (where is_wrong)
            from judged
        """),
        "modules too small or too large",
        _PAGES,
        low=0,
        high=0,
        column="module",
    ),
    FigureCheck(
        "Every item on a page is in the catalogue and active",
        from_sql("""
            with active as (select item_id from features.item_features where is_active),
            judged as (
                select content_id, content_id not in (select item_id from active) as is_wrong
                from published.homepage_layouts
                where content_type = 'item'
            )
            select count(*) filter (where is_wrong), count(*), min(content_id) filter (where is_wrong) from judged
        """),
        "slots",
        _PAGES,
        low=0,
        high=0,
        column="content_id",
    ),
    FigureCheck(
        "Every page is of a user who has a portrait",
        from_sql("""
            with users as (select user_id from published.user_portraits)
            select count(*) filter (where user_id not in (select user_id from users)), count(*),
                min(user_id) filter (where user_id not in (select user_id from users))
            from published.homepage_layouts
        """),
        "slots",
        "Somebody who may not be personalised would be: run features, recommend and tables again for this day.",
        low=0,
        high=0,
        column="user_id",
    ),
    FigureCheck(
        "What a page takes from the list is as the list has it",
        from_sql("""
            with judged as (
                select
                    pages.recommendation_id,
                    (
                        pages.user_id, pages.content_id, pages.probability, pages.is_exploration, pages.propensity
                    ) is distinct from (
                        home.user_id, home.item_id, home.probability, home.is_exploration, home.propensity
                    )
                    or pages.module = 'for_you' and pages.reason_text <> home.reason_text as is_wrong
                from published.homepage_layouts as pages
                left join published.home_recommendations as home using (recommendation_id)
                where pages.recommendation_id is not null or pages.module = 'for_you'
            )
            select count(*) filter (where is_wrong), count(*), min(recommendation_id) filter (where is_wrong)
            from judged
        """),
        "slots",
        _PAGES,
        low=0,
        high=0,
        column="recommendation_id",
    ),
    FigureCheck(
        "The evidence of every reason is there, and the reason says it",
        from_sql("""
            with judged as (
                select
                    pages.content_id,
                    case pages.evidence_type
                        when 'item' then evidence.item_id is not null
                        when 'category' then
                            contains(pages.reason_text, pages.evidence_id) and shown.category = pages.evidence_id
                        when 'region' then
                            contains(pages.reason_text, pages.evidence_id) and users.region = pages.evidence_id
                        when 'segment' then pages.evidence_id in (select segment from published.hot_items)
                            or pages.evidence_id = users.segment
                        when 'rhythm' then try_cast(pages.evidence_id as integer) >= 0
                        when 'price' then
                            try_cast(split_part(pages.evidence_id, '/', 1) as double)
                            > try_cast(split_part(pages.evidence_id, '/', 2) as double)
                            and contains(pages.reason_text, split_part(pages.evidence_id, '/', 1))
                            and contains(pages.reason_text, split_part(pages.evidence_id, '/', 2))
                            and round(shown.price, 2) = cast(split_part(pages.evidence_id, '/', 2) as double)
                        else pages.content_type = 'ad'
                    end as is_known
                from published.homepage_layouts as pages
                left join features.item_features as evidence
                    on pages.evidence_type = 'item' and pages.evidence_id = evidence.item_id
                left join features.item_features as shown
                    on pages.content_type = 'item' and pages.content_id = shown.item_id
                left join features.user_features as users on pages.user_id = users.user_id
            )
            select count(*) filter (where not coalesce(is_known, false)), count(*),
                min(content_id) filter (where not coalesce(is_known, false))
            from judged
        """),
        "slots",
        _PAGES,
        low=0,
        high=0,
        column="evidence_id",
    ),
)
