"""Published: what BI reads. Every row carries the four columns of a run."""

from __future__ import annotations

from expectations.tables.features import FEATURES
from expectations.tables.outputs import OUTPUTS
from expectations.tables.shape import Table, columns

_RUN = columns(
    "as_of_date! date | The day the row stands for: nothing later was read.",
    "run_id! string | The run that made it; see pipeline_runs.",
    "model_version! string | Version of the model or rules behind the row.",
    "generated_at! timestamp | When that run started (UTC).",
)


def _published(table: Table, key: tuple[str, ...] | None = None) -> Table:
    return Table(table.name, table.description, key or table.key, table.columns + _RUN, table.partition)


_PORTRAIT_WINDOWS = tuple(
    c
    for c in FEATURES["user_features"].columns
    if c.name.startswith(("orders_", "amount_spent_")) and not c.name.endswith("_total")
)
_FEATURE = {c.name: c for c in FEATURES["user_features"].columns}

PUBLISHED: dict[str, Table] = {
    table.name: table
    for table in (
        _published(
            Table(
                "user_portraits",
                "What the system thinks of a user: one row per consenting user.",
                ("user_id",),
                (
                    *[_FEATURE[n] for n in ("user_id", "lifecycle_stage", "segment", "days_since_last_purchase")],
                    *_PORTRAIT_WINDOWS,
                    *[
                        _FEATURE[n]
                        for n in (
                            "average_order_value",
                            "favorite_category",
                            "favorite_brand",
                            "price_band",
                            "active_hour",
                            "platform",
                            "language",
                            "region",
                        )
                    ],
                    *OUTPUTS["user_profiles"].columns[1:],
                    *columns(
                        "churn_probability double | Chance of not buying in the next 90 days "
                        "(null until retention models are built).",
                    ),
                    _FEATURE["confidence"],
                    _FEATURE["is_cold_start"],
                ),
            )
        ),
        _published(OUTPUTS["user_traits"]),
        _published(OUTPUTS["taste_segments"]),
        _published(OUTPUTS["item_portraits"]),
        _published(OUTPUTS["home_recommendations"]),
        _published(OUTPUTS["recommendation_explanations"]),
        _published(OUTPUTS["recommendation_filters"]),
        _published(OUTPUTS["homepage_layouts"]),
        _published(OUTPUTS["similar_items"]),
        _published(
            Table(
                "hot_items",
                "The items a segment acts on most; segment 'all' is everyone.",
                ("segment", "rank"),
                FEATURES["segment_items"].columns,
            )
        ),
        _published(OUTPUTS["model_metrics"]),
        _published(OUTPUTS["data_quality_results"], ("stage", "table_name", "check_name")),
    )
}

#: Kept by the publisher itself, not built by dbt: it tells of refused runs too.
PIPELINE_RUNS = Table(
    "pipeline_runs",
    "One run of the daily job: published, refused, or taken back.",
    ("run_id",),
    columns(
        "run_id! string | Airflow's run id.",
        "as_of_date! date | Day it worked for.",
        "status! string | published, refused, rolled_back (published, then taken back), or expired (published, "
        "and its rows since deleted as kept long enough).",
        "decision! string | What was decided and why, in words.",
        "generated_at! timestamp | When the run started (UTC); of a backfilled run, when it was due.",
        "published_at timestamp | When the set was put in place (UTC); null where refused.",
        "ended_at! timestamp | When it really ended (UTC), whenever it was due: when what became of it was "
        "written here. Of runs that were recorded without it: published_at, else generated_at.",
        "is_latest! boolean | Whether the tables now in place are this run's.",
        "last_event_at timestamp | Latest event that the run read.",
        "input_hash string | SHA-256 over the landed files' checksums.",
        "config_hash string | SHA-256 over the run's settings.",
        "model_version string | Versions of the models behind the tables.",
        "rows_in integer | Rows of all feeds read so far.",
        "rows_quarantined integer | Rows of all feeds in quarantine.",
        "published_rows integer | Rows of all published tables.",
        "report string | JSON: each step's own counts and seconds.",
    ),
)


def _history(table: Table) -> Table:
    return Table(
        f"{table.name}_history",
        f"{table.description} Kept for every day published.",
        (*table.key, "as_of_date"),
        table.columns,
    )


#: By the table whose days they keep: how users, and how the quality of lists and of data, have developed.
HISTORIES: dict[str, Table] = {
    name: _history(PUBLISHED[name]) for name in ("user_portraits", "model_metrics", "data_quality_results")
}

#: Kept by the publisher itself: the tables in place stay those of the last published run, so what stopped
#: a later one stands here.
REFUSED_CHECKS = Table(
    "refused_checks",
    "One check that failed in a run that was refused.",
    ("run_id", "stage", "table_name", "check_name"),
    OUTPUTS["data_quality_results"].columns + _RUN,
)

#: A view over pipeline_runs, in every warehouse: one row that answers, when asked, whether the data are there.
DATA_FRESHNESS = Table(
    "data_freshness",
    "Is today's data there, how old is it, from which run, and how did the last run end?",
    ("last_run_id",),
    columns(
        "as_of_date date | Day that the tables in place stand for; null before the first published run.",
        "run_id string | Run that made them.",
        "published_at timestamp | When they were put in place (UTC).",
        "days_old integer | Days from that day to today (UTC), counted when the view is read: 1 is yesterday's.",
        "hours_since_published double | Hours since they were put in place, counted when the view is read.",
        "last_event_at timestamp | The last event that they rest on (UTC).",
        "is_fresh! boolean | Whether the tables are of yesterday or later.",
        "last_run_id! string | The run that ended last.",
        "last_run_as_of_date! date | Day it worked for.",
        "last_run_status! string | published, refused, rolled_back or expired.",
        "last_run_decision! string | What was decided and why, in words.",
        "last_run_started_at! timestamp | When it started (UTC); of a backfilled run, when it was due.",
        "last_run_ended_at! timestamp | When it really ended (UTC).",
        "last_refused_run_id string | The run refused last, whatever came after it; null where none ever was.",
        "last_refused_as_of_date date | Day it worked for.",
        "last_refused_decision string | Why, in words.",
        "last_refused_started_at timestamp | When it started (UTC); of a backfilled run, when it was due.",
        "last_refused_ended_at timestamp | When it really ended (UTC).",
        "is_refused_since! boolean | Whether that was after the tables in place were put there.",
    ),
)
#: In SQL that DuckDB and PostgreSQL read alike; {runs} is the table of runs.
DATA_FRESHNESS_SQL = """
select
    latest.as_of_date,
    latest.run_id,
    latest.published_at,
    cast(cast(now() at time zone 'UTC' as date) - latest.as_of_date as bigint) as days_old,
    cast(
        extract(epoch from (now() at time zone 'UTC') - latest.published_at) / 3600 as double precision
    ) as hours_since_published,
    latest.last_event_at,
    coalesce(cast(now() at time zone 'UTC' as date) - latest.as_of_date <= 1, false) as is_fresh,
    last_run.run_id as last_run_id,
    last_run.as_of_date as last_run_as_of_date,
    last_run.status as last_run_status,
    last_run.decision as last_run_decision,
    last_run.generated_at as last_run_started_at,
    last_run.ended_at as last_run_ended_at,
    last_refused.run_id as last_refused_run_id,
    last_refused.as_of_date as last_refused_as_of_date,
    last_refused.decision as last_refused_decision,
    last_refused.generated_at as last_refused_started_at,
    last_refused.ended_at as last_refused_ended_at,
    last_refused.run_id is not null
    and coalesce(last_refused.ended_at > latest.published_at, true) as is_refused_since
from (select * from {runs} order by ended_at desc, generated_at desc, run_id desc limit 1) as last_run
left join (select * from {runs} where is_latest) as latest on true
left join (
    select * from {runs} where status = 'refused' order by ended_at desc, generated_at desc, run_id desc limit 1
) as last_refused on true
"""
