{#
    Daily aggregates are kept, and only the days whose events changed are computed again. Each kept row carries the
    version of the partition that it was computed from, so that the table itself tells what is stale: a killed run,
    a day taken away or a changed model mend themselves on the next run, and no second record can disagree.
#}

{# What makes a kept row stale beside its partition's version: the SQL that computed it, currency, time zone. #}
{% macro sql_signature() %}
    {% if not execute %}
        {{- return('') -}}
    {% endif %}
    {% set sql = [model.raw_code, var('currency'), var('time_zone')] %}
    {% for name in ['stg_events', 'int_actions'] %}
        {% do sql.append(graph.nodes['model.' ~ project_name ~ '.' ~ name].raw_code) %}
    {% endfor %}
    {{- return('-' ~ local_md5(sql | join('\n'))[:8]) -}}
{% endmacro %}


{# The value of a kept row's partition_version. #}
{% macro partition_version() -%}
    partition_version || '{{ sql_signature() }}'
{%- endmacro %}


{# Which event_dates a daily aggregate has to compute now: those up to the as-of date that it does not stand for. #}
{% macro in_changed_partitions() %}
    {% set partitions = ref('stg_event_partitions') %}
    {% if not execute or not is_incremental() %}
        {{- return('event_date <= ' ~ as_of_date()) -}}
    {% endif %}
    {% set changed %}
        select event_date
        from {{ partitions }}
        where
            event_date <= {{ as_of_date() }}
            and (event_date, {{ partition_version() }}) not in (
                select distinct event_date, partition_version from {{ this }}
            )
        order by event_date
    {% endset %}
    {% set days = run_query(changed).columns[0].values() %}
    {% if days | length == 0 %}
        {{- return('false') -}}
    {% endif %}
    {{- return("event_date in (date '" ~ days | join("', date '") ~ "')") -}}
{% endmacro %}


{# Incremental strategy `replace_partitions`: rows of versions that no longer stand go, the new ones come. #}
{% macro get_incremental_replace_partitions_sql(arg_dict) %}
    {% set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') %}
    delete from {{ arg_dict['target_relation'] }}
    where (event_date, partition_version) not in (
        select event_date, {{ partition_version() }} from {{ ref('stg_event_partitions') }}
    );

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{% endmacro %}
