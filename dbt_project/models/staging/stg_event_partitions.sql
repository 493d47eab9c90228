-- depends_on: {{ source('clean', 'events') }}
{% set partitions = ((lake_manifest('events') or {}) if execute else {}).get('partitions', {}) %}

select
    cast(partitions.event_date as date) as event_date,
    cast(partitions.partition_version as varchar) as partition_version
from (
    values
    {% for day, partition in partitions | dictsort -%}
        ({{ quoted(day) }}, {{ quoted(partition['version']) }}),
    {% endfor -%}
    (null, null)
) as partitions (event_date, partition_version)
where partitions.event_date is not null
