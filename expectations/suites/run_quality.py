"""What a run says about itself: how good its lists are, and what its checks found."""

from __future__ import annotations

from expectations.checks import FigureCheck, at_least_as, between, from_sql, one_of, published_suite

_EVALUATION = "See the report and the log of the evaluate step, and ml/recommender."
_RUNNER = "This is a defect of expectations/run.py: report it with this page."

MODEL_METRICS = published_suite(
    "model_metrics",
    "metric",
    one_of("Every metric is known", "metric", ("recall", "ndcg", "coverage", "neighbour_recall"), _EVALUATION),
    one_of(
        "Every protocol is known", "protocol", ("days_after", "held_out", "promotion", "neighbours"), _EVALUATION
    ),
    between("Every figure is a share", "value", 0, 1, _EVALUATION),
    between("Every figure of the baseline is a share", "baseline_value", 0, 1, _EVALUATION),
    at_least_as("No interval ends below its figure", "value_high", "value", _EVALUATION),
    at_least_as("No interval starts above its figure", "value", "value_low", _EVALUATION),
    FigureCheck(
        "There are figures",
        from_sql("""
            select count(*) filter (where protocol <> 'neighbours'), count(*)
            from published.model_metrics
        """),
        "figures",
        "Nobody bought anything in the days measured: the lists are published unmeasured.",
        low=1,
        severity="warning",
    ),
    FigureCheck(
        "Figures are of days that the lists were not made from",
        from_sql("""
            with judged as (
                select protocol, measured_from, measured_to, case protocol
                    when 'days_after' then measured_from > getvariable('as_of')
                    else measured_to <= getvariable('as_of')
                end and measured_from <= measured_to as is_honest
                from published.model_metrics
            )
            select count(*) filter (where not is_honest), count(*),
                min(concat(protocol, ' ', measured_from, ' to ', measured_to)) filter (where not is_honest)
            from judged
        """),
        "figures",
        _EVALUATION,
        low=0,
        high=0,
        column="measured_from",
    ),
    FigureCheck(
        "The lists are no worse than showing everyone what is popular (NDCG)",
        from_sql("""
            select min(value - baseline_value), count(*)
            from published.model_metrics
            where metric = 'ndcg' and segment = 'all' and protocol <> 'promotion'
        """),
        "of NDCG above popularity, at the worst list length",
        "Personalising does harm here: see model_metrics by segment before trusting the lists.",
        low=0,
        severity="warning",
        column="value",
    ),
    FigureCheck(
        "The search for like texts finds nearly all that an exact one does",
        from_sql("""
            select min(value), count(*)
            from published.model_metrics
            where metric = 'neighbour_recall'
        """),
        "of the nearest texts found",
        "The index no longer suits these vectors: see WANTED_RECALL in ml/text_encoder/neighbours.py.",
        low=0.95,
        severity="warning",
        column="value",
    ),
)

DATA_QUALITY_RESULTS = published_suite(
    "data_quality_results",
    "result",
    one_of("Every stage is known", "stage", ("clean", "tables"), _RUNNER),
    one_of("Every status is known", "status", ("passed", "warning", "failed"), _RUNNER),
    one_of("Every severity is known", "severity", ("error", "warning"), _RUNNER),
    between("No check looked at fewer than no rows", "rows_checked", 0, None, _RUNNER),
    FigureCheck(
        "Events and items were checked before features were made",
        from_sql("""
            select count(distinct table_name), count(*)
            from published.data_quality_results
            where stage = 'clean' and table_name in ('events', 'items')
        """),
        "tables",
        "Run python -m expectations.run --stage clean for this run.",
        low=2,
    ),
)
