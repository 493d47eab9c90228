-- A shop that was not heard of for a day is not a day older: in silence nothing fades and no window moves.
select coalesce(max(event_date), {{ as_of_date() }}) as last_event_on
from {{ ref('int_user_days') }}
where {{ known_as_of() }}
