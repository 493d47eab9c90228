"""Text becomes what `expectations/tables/` says it is, or the row gets a reason why it cannot."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from expectations.tables import ACTION_FEEDS, EVENT_TYPES, FEEDS, PLATFORMS, RULE_ACTIONS, Table
from spark_jobs.landed import ALWAYS

#: Columns that must be there while their value may be empty.
_MAY_BE_EMPTY = {("events", "user_id")}
#: What no value means, where it means something.
_NOTHING_MEANS = {"is_active": True}
#: The same for columns where only an empty value means it: without the column nothing was asked.
_EMPTY_MEANS = {"has_personalization_consent": False, "has_marketing_consent": False}
_TIME = {"events": "event_at", "campaign_contacts": "contacted_at", "reviews": "created_at"}
_NEEDS_ITEM = ("cart", "favorite", "purchase", "rating", "dismiss", "return")
_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
_TIMESTAMP = (
    r"^\d{4}-\d{1,2}-\d{1,2}"
    r"([T ]\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s?(Z|UTC|[+-]\d{2}(:?\d{2})?)?)?$"
)
_EPOCH_MILLISECONDS = r"^\d{13}$"


def spark_type(name: str) -> T.DataType:
    """Return the Spark type of a column type of `expectations/tables/`."""
    if name.startswith("decimal"):
        precision, scale = name.removeprefix("decimal(").removesuffix(")").split(",")
        return T.DecimalType(int(precision), int(scale))
    return {
        "string": T.StringType(),
        "timestamp": T.TimestampType(),
        "date": T.DateType(),
        "boolean": T.BooleanType(),
        "integer": T.LongType(),
        "double": T.DoubleType(),
    }[name]


def table_schema(table: Table) -> T.StructType:
    """Return a table's schema in Spark's terms."""
    return T.StructType([T.StructField(column.name, spark_type(column.type)) for column in table.columns])


def typed(raw: DataFrame, feed: str) -> DataFrame:
    """Give a feed's raw rows their types, and `reason` where they break the feed's contract.

    Adds the feed's partition day and `arrived_on`: the day of the file; where it has none, the action's own,
    or for a state feed the beginning of time. A row with a reason keeps what could be read.
    """
    table = FEEDS[feed]
    text = {column.name: F.nullif(F.col(column.name), F.lit("")) for column in table.columns}
    value = {column.name: _value(text[column.name], column.type) for column in table.columns}
    for name in value:
        if name in _NOTHING_MEANS:
            value[name] = F.when(text[name].isNull(), F.lit(_NOTHING_MEANS[name])).otherwise(value[name])
        if name in _EMPTY_MEANS:
            value[name] = F.when(F.col(name) == "", F.lit(_EMPTY_MEANS[name])).otherwise(value[name])
    cast = raw.select(
        "source_file",
        "row_number",
        "file_day",
        "raw",
        "problem",
        *[value[column.name].alias(column.name) for column in table.columns],
        _first(
            (text[column.name].isNull(), f"missing:{column.name}")
            for column in table.columns
            if column.required and (feed, column.name) not in _MAY_BE_EMPTY
        ).alias("missing"),
        _first(
            (text[column.name].isNotNull() & value[column.name].isNull(), f"wrong_type:{column.name}")
            for column in table.columns
            if column.type != "string"
        ).alias("wrong_type"),
        F.to_json(F.struct(*[text[name].alias(name) for name in text])).alias("as_text"),
    )
    day = F.to_date(_TIME[feed]) if feed in ACTION_FEEDS else F.lit(ALWAYS)
    dated = cast.withColumn("day", F.coalesce(day, F.lit(ALWAYS)))
    reason = F.coalesce("problem", "missing", "wrong_type", _first(_rules(feed)))
    return dated.select(
        *table.column_names,
        *([F.col("day").alias(table.partition)] if table.partition else []),
        F.coalesce("file_day", "day").alias("arrived_on"),
        "source_file",
        "row_number",
        # Parquet has no text of its own: a rejected row's is its values, before they got types.
        F.when(reason.isNotNull() & (F.col("raw") == ""), F.col("as_text")).otherwise(F.col("raw")).alias("raw"),
        reason.alias("reason"),
    )


def _value(text: Column, kind: str) -> Column:
    """Cast text to a column's type; null where it is not of it."""
    if kind == "string":
        return text
    if kind == "timestamp":
        # Spark alone would read "12:30" as today's: only what names its day is a time.
        written = F.when(text.rlike(_TIMESTAMP), text.try_cast("timestamp"))
        milliseconds = F.when(text.rlike(_EPOCH_MILLISECONDS), F.timestamp_millis(text.try_cast("bigint")))
        return F.coalesce(written, milliseconds)
    if kind == "date":
        day = F.regexp_extract(text, r"^[^T ]*", 0)
        return F.when(text.rlike(_TIMESTAMP), day).try_cast("date")
    if kind == "integer":
        # Tools that know no missing integers write 12.0.
        exact = text.try_cast("decimal(38,6)")
        return F.when(exact == F.floor(exact), exact.try_cast("bigint"))
    return text.try_cast(spark_type(kind).simpleString())


def _rules(feed: str) -> list[tuple[Column, str]]:
    """Conditions under which a typed row of a feed is refused, first match first, with the reason."""
    table = FEEDS[feed]
    rules: list[tuple[Column, str]] = []
    if feed == "events":
        rules += [
            (~F.col("event_type").isin(*EVENT_TYPES), "unknown_value:event_type"),
            (~F.col("platform").isin(*PLATFORMS), "unknown_value:platform"),
            (F.col("event_type").isin(*_NEEDS_ITEM) & F.col("item_id").isNull(), "missing:item_id"),
            (F.col("quantity") <= 0, "out_of_range:quantity"),
            (F.col("unit_price") < 0, "out_of_range:unit_price"),
        ]
    if feed == "items":
        rules.append((F.col("price") < 0, "out_of_range:price"))
    if feed == "campaigns":
        rules.append((F.col("ends_on") < F.col("starts_on"), "out_of_range:ends_on"))
    if feed == "merchandising_rules":
        is_pin, is_boost = F.col("action") == "pin", F.col("action") == "boost"
        about_nothing = F.coalesce("item_id", "category_path", "brand").isNull()
        rules += [
            (~F.col("action").isin(*RULE_ACTIONS), "unknown_value:action"),
            ((is_pin & F.col("item_id").isNull()) | about_nothing, "missing:item_id"),
            (is_pin & F.col("position").isNull(), "missing:position"),
            (is_boost & F.col("factor").isNull(), "missing:factor"),
            (F.col("position") < 1, "out_of_range:position"),
            (F.col("factor") <= 0, "out_of_range:factor"),
            (F.col("ends_on") < F.col("starts_on"), "out_of_range:ends_on"),
        ]
    if "rating" in table.column_names:
        rules.append((~F.col("rating").between(1, 5), "out_of_range:rating"))
    for column in table.columns:
        if column.type in ("timestamp", "date"):
            is_sane = F.to_date(column.name).between(F.lit(_EARLIEST), F.lit(_LATEST))
            rules.append((~is_sane, f"out_of_range:{column.name}"))
    if feed in _TIME:
        rules.append((F.to_date(_TIME[feed]) > F.date_add("file_day", 1), "future_time"))
    return rules


def _first(rules: Iterable[tuple[Column, str]]) -> Column:
    """The reason of the first rule that holds; null where none does."""
    return F.coalesce(F.lit(None).cast("string"), *[F.when(holds, F.lit(reason)) for holds, reason in rules])


def with_raw_of_rejected(rows: DataFrame, feed: str) -> DataFrame:
    """Let go of sound rows' raw text; a row rejected late that never had one gets its values'."""
    values = F.to_json(F.struct(*FEEDS[feed].column_names))
    raw = F.when(F.col("reason").isNotNull(), F.when(F.col("raw") == "", values).otherwise(F.col("raw")))
    return rows.withColumn("raw", raw)
