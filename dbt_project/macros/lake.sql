{# Folder of the shop's lake. dbt changes its working folder, so a relative path would not mean what was meant. #}
{% macro lake_path() %}
    {% set path = env_var('QIANMIAN_LAKE') %}
    {% if not path.startswith('/') %}
        {% do exceptions.raise_compiler_error("QIANMIAN_LAKE is " ~ path ~ ": give an absolute path.") %}
    {% endif %}
    {{- return(path.rstrip('/')) -}}
{% endmacro %}


{# Text as an SQL literal. #}
{% macro quoted(text) -%}
    '{{ text | string | replace("'", "''") }}'
{%- endmacro %}


{# The clean table's manifest, or none where the shop has no such feed. #}
{% macro lake_manifest(table) %}
    {% set path = lake_path() ~ '/clean/' ~ table ~ '/_manifest.json' %}
    {% set found = run_query("select file from glob(" ~ quoted(path) ~ ")") %}
    {% if found | length == 0 %}
        {{- return(none) -}}
    {% endif %}
    {% set text = run_query("select content from read_text(" ~ quoted(path) ~ ")") %}
    {{- return(fromjson(text.columns[0].values()[0])) -}}
{% endmacro %}


{#
    A clean table to select from: `from {{ lake_rows(source('clean', 'events'), until='2026-10-31') }}`.
    Reads the files that the manifest names, of the partitions up to `until`; the partition's value stands in the
    file's path, so DuckDB reads only the partitions that a query asks for. Files are matched by their columns' names:
    one written before a column was there has nulls in it. A feed that the shop does not have is an empty table of
    the source's columns.
#}
{% macro lake_rows(relation, until) %}
    {% if not execute %}
        {{- return('(select 1)') -}}
    {% endif %}
    {% set table = relation.identifier %}
    {% set manifest = lake_manifest(table) or {'partitions': {}} %}
    {% set files = [] %}
    {% for day, partition in manifest['partitions'] | dictsort if day <= until %}
        {% for file in partition['files'] %}
            {% do files.append(quoted(lake_path() ~ '/clean/' ~ table ~ '/' ~ file)) %}
        {% endfor %}
    {% endfor %}
    {% if files %}
        {{- return(
            "read_parquet([" ~ files | join(', ') ~ "], union_by_name = true, hive_partitioning = true, hive_types = {'"
            ~ manifest['partition'] ~ "': date})"
        ) -}}
    {% endif %}
    {{- return(empty_rows(relation)) -}}
{% endmacro %}


{# No rows, with the columns and types that the source's yml gives. #}
{% macro empty_rows(relation) %}
    {% set source_node = graph.sources.values()
        | selectattr('schema', 'equalto', relation.schema) | selectattr('name', 'equalto', relation.identifier) | first %}
    {% set columns = [] %}
    {% for column in source_node.columns.values() %}
        {% do columns.append('cast(null as ' ~ column.data_type ~ ') as ' ~ column.name) %}
    {% endfor %}
    {{- return('(select ' ~ columns | join(', ') ~ ' where false)') -}}
{% endmacro %}


{# What a model wrote for the as-of date: `from {{ output_rows(source('outputs', 'similar_items')) }}`. #}
{% macro output_rows(relation) %}
    {% if not execute %}
        {{- return('(select 1)') -}}
    {% endif %}
    {% set path = lake_path() ~ '/outputs/as_of_date=' ~ as_of_day() ~ '/' ~ relation.identifier ~ '.parquet' %}
    {% if run_query("select file from glob(" ~ quoted(path) ~ ")") | length == 0 %}
        {% do exceptions.raise_compiler_error(
            path ~ " is not there: run the models for " ~ as_of_day() ~ " first (docs/architecture.md, Steps)."
        ) %}
    {% endif %}
    {{- return("read_parquet(" ~ quoted(path) ~ ", hive_partitioning = false)") -}}
{% endmacro %}
