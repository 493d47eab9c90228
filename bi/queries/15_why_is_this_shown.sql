-- Why is this item shown to this user? · 为什么给这位用户看这件商品？
-- The evidence behind one list's first place, by what the score loses without it; put your user in place of the busiest one.
-- Returns: user_id, shown, reason_rank, reason_code, evidence_type, evidence, contribution, scale
with someone as (
    select user_id
    from user_portraits
    order by orders_365d desc, user_id asc
    limit 1
)

select
    r.user_id,
    shown.title as shown,
    e.reason_rank,
    e.reason_code,
    e.evidence_type,
    coalesce(past.title, e.evidence_id) as evidence,
    cast(e.contribution as decimal(12, 4)) as contribution,
    e.scale
from home_recommendations as r
inner join someone as s on r.user_id = s.user_id
inner join recommendation_explanations as e on r.recommendation_id = e.recommendation_id
inner join item_portraits as shown on r.item_id = shown.item_id
left join item_portraits as past on e.evidence_type = 'item' and e.evidence_id = past.item_id
where r.surface = 'home' and r.rank = 1 and e.kind = 'evidence'
order by e.reason_rank
