-- Whom would a campaign for a category reach? · 某品类的活动该找谁？
-- Users of whose actions at least 30% are about the category, surest first; put your category in place of the one with most users.
-- Returns: user_id, category, share_of_actions, confidence, evidence, evidence_zh, price_band, platform
with largest as (
    select subject as category
    from user_traits
    where trait = 'category_affinity' and strength >= 0.3
    group by subject
    order by count(*) desc, subject asc
    limit 1
)

select
    t.user_id,
    t.subject as category,
    cast(t.strength as decimal(8, 4)) as share_of_actions,
    cast(t.confidence as decimal(8, 4)) as confidence,
    t.evidence,
    t.evidence_zh,
    p.price_band,
    p.platform
from user_traits as t
inner join user_portraits as p on t.user_id = p.user_id
inner join largest as l on t.subject = l.category
where t.trait = 'category_affinity' and t.strength >= 0.3
order by t.confidence desc, t.strength desc, t.user_id asc
