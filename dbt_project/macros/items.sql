{# May the item be shown: the feed does not say no, and does not say that none is left. #}
{% macro is_on_sale() -%}
    coalesce(is_active, true) and coalesce(stock, 1) > 0
{%- endmacro %}


{# Price band of a price, by the terciles of the catalogue's prices; null where the price is. #}
{% macro price_band(price) -%}
    case
        when {{ price }} <= terciles.low_up_to then 'low'
        when {{ price }} <= terciles.mid_up_to then 'mid'
        when {{ price }} > terciles.mid_up_to then 'high'
    end
{%- endmacro %}


{# A text without line breaks, doubled spaces or spaces at its ends; null where nothing is left. #}
{% macro tidied(text) -%}
    nullif(trim(regexp_replace({{ text }}, '[\s\p{Z}]+', ' ', 'g')), '')
{%- endmacro %}
