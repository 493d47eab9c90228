{# The four columns on every published row. `model_version` is an SQL expression. #}
{% macro run_columns(model_version) -%}
    {{ as_of_date() }} as as_of_date,
    cast({{ quoted(var('run_id')) }} as varchar) as run_id,
    cast({{ model_version }} as varchar) as model_version,
    cast(cast({{ quoted(var('generated_at')) }} as timestamptz) as timestamp) as generated_at
{%- endmacro %}
