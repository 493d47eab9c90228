-- Who sees which campaign on the home page? · 首页上谁会看到哪个活动？
-- The audience of each campaign that stands on home pages, and the value expected from the slot.
-- Empty: no campaign runs, or none fits anybody.
-- Returns: campaign_id, title, title_zh, users, loyal_users, expected_value
select
    h.content_id as campaign_id,
    min(h.module_title) as title,
    min(h.module_title_zh) as title_zh,
    count(distinct h.user_id) as users,
    count(distinct case when p.lifecycle_stage = 'loyal' then h.user_id end) as loyal_users,
    cast(sum(h.expected_value) as decimal(12, 2)) as expected_value
from homepage_layouts as h
inner join user_portraits as p on h.user_id = p.user_id
where h.content_type = 'campaign'
group by h.content_id
order by users desc, campaign_id asc
