{# The day that the run works for, as text. Every model takes it from here: none reads a clock. #}
{% macro as_of_day() %}
    {% set day = var('as_of_date') | string %}
    {% if not modules.re.fullmatch('\d{4}-\d{2}-\d{2}', day) %}
        {% do exceptions.raise_compiler_error("as_of_date is " ~ day ~ ": give a day such as 2026-10-31.") %}
    {% endif %}
    {{- return(day) -}}
{% endmacro %}


{# Last day that later_purchases looks at, as text: 7 days after the as-of date. #}
{% macro evaluation_end_day() %}
    {% set day = modules.datetime.date.fromisoformat(as_of_day()) + modules.datetime.timedelta(days=7) %}
    {{- return(day.isoformat()) -}}
{% endmacro %}


{# Refuse to publish the features of another day: a run that came between may have left its own. #}
{% macro require_features_of_the_day() %}
    {% set as_of = ref('int_as_of') %}
    {% if execute %}
        {% set built_for = run_query('select as_of_date from ' ~ as_of).columns[0].values()[0] | string %}
        {% if built_for != as_of_day() %}
            {% do exceptions.raise_compiler_error(
                "the features are those of " ~ built_for ~ ": build tag:features for " ~ as_of_day() ~ " first."
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
