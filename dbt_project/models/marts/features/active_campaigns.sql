-- The day after the as-of date is the one on which a shopper sees what is made from it.
with running as (
    select * from {{ ref('stg_campaigns') }}
    where starts_on <= {{ as_of_date() }} + 1 and ends_on > {{ as_of_date() }}
),

named_items as (
    select
        campaign_id,
        trim(unnest(string_split(item_ids, '|'))) as item_id
    from running
),

named_paths as (
    select
        campaign_id,
        {{ tidied("unnest(string_split(category_paths, '|'))") }} as category_path
    from running
),

items as (
    select
        item_id,
        category_path
    from {{ ref('item_features') }}
    where is_active
),

-- A category covers what lies below it.
covered as (
    select
        named_items.campaign_id,
        items.item_id
    from named_items
    inner join items on named_items.item_id = items.item_id
    union
    select
        named_paths.campaign_id,
        items.item_id
    from named_paths
    inner join items
        on
            named_paths.category_path = items.category_path
            or starts_with(items.category_path, named_paths.category_path || ' > ')
),

joined as (
    select
        running.campaign_id,
        covered.item_id,
        running.campaign_type,
        running.channel,
        running.starts_on,
        running.ends_on,
        coalesce({{ tidied('running.name') }}, running.campaign_id) as campaign_name
    from running
    inner join covered on running.campaign_id = covered.campaign_id
)

select * from joined
order by campaign_id, item_id
