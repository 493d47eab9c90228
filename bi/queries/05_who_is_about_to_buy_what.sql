-- Who is about to buy what? · 谁快要买什么？
-- The likeliest purchases of the next 7 days. probability is calibrated, so it compares between users; score does not.
-- Returns: user_id, item_id, title, probability, candidate_source, reason_text, reason_text_zh
select
    r.user_id,
    r.item_id,
    i.title,
    cast(r.probability as decimal(8, 4)) as probability,
    r.candidate_source,
    r.reason_text,
    r.reason_text_zh
from home_recommendations as r
inner join item_portraits as i on r.item_id = i.item_id
where r.surface = 'home'
order by r.probability desc, r.user_id asc, r.rank asc
limit 50
