{# Schemas are named exactly staging, intermediate, features, published: dbt's default puts the profile's before. #}
{% macro generate_schema_name(custom_schema_name, node) %}
    {{- custom_schema_name or target.schema -}}
{% endmacro %}
