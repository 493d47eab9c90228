{# The as-of day as a date literal. #}
{% macro as_of_date() -%}
    date '{{ as_of_day() }}'
{%- endmacro %}


{# The as-of rule for rows that happen: it happened, and its file arrived, no later than the as-of date. #}
{% macro known_as_of() -%}
    event_date <= {{ as_of_date() }} and arrived_on <= {{ as_of_date() }}
{%- endmacro %}


{# The last day that events are known of: windows and ages of behaviour end with it (see int_shop_clock). #}
{% macro shop_day() -%}
    (select shop_clock.last_event_on from {{ ref('int_shop_clock') }} as shop_clock)
{%- endmacro %}


{# Whether the row's event_date is one of the last `days` days, the shop's day being the last of them. #}
{% macro in_last_days(days) -%}
    event_date > {{ shop_day() }} - {{ days }}
{%- endmacro %}


{# The as-of rule for state feeds: of each key, the version that arrived last, but no later than the as-of date. #}
{% macro is_latest_version(key) -%}
    row_number() over (
        partition by {{ key }} order by arrived_on desc, source_file desc, row_number desc
    ) = 1
{%- endmacro %}
