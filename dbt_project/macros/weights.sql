{#
    How much one action says about liking an item, in views: a purchase five, a cart or favorite three, a rating
    two. Returns, dismissals and searches say nothing for it. The one place for these numbers.
#}
{% macro action_weight() -%}
    case event_type
        when 'purchase' then 5
        when 'cart' then 3
        when 'favorite' then 3
        when 'rating' then 2
        when 'click' then 1
        when 'view' then 1
        else 0
    end
{%- endmacro %}


{#
    Weight of a day's actions at the as-of date: halved every 14 days. Exact decimals, so that a sum does not
    depend on the order in which threads add.
#}
{% macro decayed_weight() -%}
    cast(actions * {{ action_weight() }} * 0.5 ** (({{ shop_day() }} - event_date) / 14.0) as decimal(18, 6))
{%- endmacro %}


{# For each user, the value of `column` with the largest total of `weight`; ties go to the smallest value. #}
{% macro top_value(rows, column, weight) -%}
    select
        user_id,
        {{ column }}
    from {{ rows }}
    where {{ column }} is not null
    group by user_id, {{ column }}
    having sum({{ weight }}) > 0
    qualify row_number() over (partition by user_id order by sum({{ weight }}) desc, {{ column }}) = 1
{%- endmacro %}
