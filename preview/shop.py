"""Questions about the shop as a whole: who its users are, what the lists hold, how good they are, what ran.

Each reads whole tables: about a second for 100 thousand users, so the page keeps the answers for as long as the
warehouse is the same.
"""

from __future__ import annotations

from typing import Any

from preview.reading import Reading, Rows, over_days


def headline(reading: Reading) -> dict[str, Any]:
    """Return the figures at the top: users, lists, the part of the catalogue that is shown, exploration."""
    return reading.ask(
        """
        with listed as (
            select count(distinct user_id) as users_listed, count(distinct item_id) as items_listed,
                count(*) as places, avg(is_exploration::int) as exploration, avg(is_promoted::int) as promoted
            from today.home_recommendations
        )
        select listed.*,
            (select count(*) from today.item_portraits semi join today.home_recommendations using (item_id)
                where is_active) as items_shown,
            (select count(*) from today.user_portraits) as users,
            (select count(*) from today.item_portraits where is_active) as items_active,
            (select count(*) from today.user_traits) as traits,
            (select count(*) from today.recommendation_filters) as filtered
        from listed"""
    )[0]


def lifecycle(reading: Reading) -> Rows:
    """Return users by lifecycle stage, with what they spent."""
    return reading.ask(
        """
        select lifecycle_stage, count(*) as users, count(*) / sum(count(*)) over () as share,
            avg(orders_90d) as orders_90d, avg(amount_spent_90d) as amount_spent_90d
        from today.user_portraits group by lifecycle_stage order by users desc, lifecycle_stage"""
    )


def taste_segments(reading: Reading) -> Rows:
    """Return the segments found by clustering, largest first."""
    return reading.ask("from today.taste_segments order by users desc, taste_segment")


def rule_segments(reading: Reading) -> Rows:
    """Return users by the segment of the rules (recency, frequency, money)."""
    return reading.ask(
        """
        select segment, count(*) as users, count(*) / sum(count(*)) over () as share
        from today.user_portraits group by segment order by users desc, segment"""
    )


def chances(reading: Reading) -> Rows:
    """Return a histogram of the chances in all lists: steps of a quarter of a power of ten."""
    return reading.ask(
        """
        select pow(10, floor(log10(probability) * 4) / 4) as chance_from,
            pow(10, floor(log10(probability) * 4) / 4 + 0.25) as chance_to, count(*) as places
        from today.home_recommendations where probability > 0 group by all order by chance_from"""
    )


def by_rank(reading: Reading) -> Rows:
    """Return, per place in the list, the chance (median, 10th, 90th percentile) and the score.

    Scores compare within one user only, so each is taken as a share of the best score of its user.
    """
    return reading.ask(
        """
        with scored as (
            select rank, probability, score / nullif(max(score) over (partition by user_id), 0) as relative_score
            from today.home_recommendations where surface = 'home'
        )
        select rank, median(probability) as chance, quantile_cont(probability, 0.1) as chance_low,
            quantile_cont(probability, 0.9) as chance_high, median(relative_score) as score,
            quantile_cont(relative_score, 0.1) as score_low, quantile_cont(relative_score, 0.9) as score_high
        from scored group by rank order by rank"""
    )


def shares(reading: Reading, column: str) -> Rows:
    """Return the share of all places per value of `candidate_source` or `reason_code`."""
    return reading.ask(
        f"""
        select {column} as name, count(*) as places, count(*) / sum(count(*)) over () as share,
            avg(probability) as chance
        from today.home_recommendations group by name order by places desc, name"""
    )


def categories(reading: Reading) -> Rows:
    """Return per category its share of all places and of the sales of 30 days, and how much of it is shown."""
    return reading.ask(
        """
        with places as (
            select item_id, count(*) as places from today.home_recommendations group by item_id
        )
        select i.category, coalesce(sum(p.places), 0) / nullif(sum(sum(p.places)) over (), 0) as share_of_places,
            sum(i.purchases_30d) / nullif(sum(sum(i.purchases_30d)) over (), 0) as share_of_sales,
            count(*) filter (where i.is_active) as items_active,
            count(*) filter (where i.is_active and p.places is not null) as items_shown
        from today.item_portraits as i left join places as p using (item_id)
        group by i.category
        having items_active > 0 or items_shown > 0
        order by share_of_sales desc nulls last, i.category"""
    )


def concentration(reading: Reading) -> dict[str, Any]:
    """Return which share of all places the 1% and the 10% most shown of the active items take."""
    rows = reading.ask(
        """
        with shown as (
            select count(*) as places, row_number() over (order by count(*) desc, item_id) as nth
            from today.home_recommendations group by item_id
        ),
        active as (select greatest(count(*), 1) as items from today.item_portraits where is_active)
        select sum(places) filter (where nth <= ceil(items * 0.01)) / sum(places) as top_1,
            sum(places) filter (where nth <= ceil(items * 0.1)) / sum(places) as top_10
        from shown, active"""
    )
    return rows[0]


def modules(reading: Reading) -> Rows:
    """Return, per module of the home pages, how many users have it, its slots and what they are worth."""
    return reading.ask(
        """
        select module, count(distinct user_id) as users, count(*) as slots, avg(module_rank) as module_rank,
            avg(probability) as chance, sum(expected_value) / sum(sum(expected_value)) over () as share_of_value
        from today.homepage_layouts group by module order by module_rank, module"""
    )


def filter_counts(reading: Reading) -> Rows:
    """Return, per rule and action, how many items of how many users it touched."""
    return reading.ask(
        """
        select rule, action, count(*) as items, count(distinct user_id) as users
        from today.recommendation_filters group by rule, action order by items desc, rule, action"""
    )


def metrics_over_days(reading: Reading) -> Rows:
    """Return the metrics of all users for each of up to 60 days, with interval and baseline."""
    rows = over_days(reading, "model_metrics")
    if rows is None:
        return []
    shown = rows.filter("segment = 'all' and protocol in ('days_after', 'held_out')").order(
        "as_of_date, protocol, model, metric, k"
    )
    names = shown.columns
    return [dict(zip(names, row, strict=True)) for row in shown.fetchall()]


def metrics_by_segment(reading: Reading) -> Rows:
    """Return the day's metrics of every slice of users and items."""
    return reading.ask(
        "from today.model_metrics where protocol in ('days_after', 'held_out') "
        "order by metric, k, protocol, model, segment"
    )


def quality(reading: Reading) -> Rows:
    """Return per table how many checks passed, warned and failed."""
    return reading.ask(
        """
        select stage, table_name, count(*) as checks, count(*) filter (where status = 'passed') as passed,
            count(*) filter (where status = 'warning') as warned, max(rows_checked) as rows_checked
        from today.data_quality_results group by all order by stage, table_name"""
    )


def not_passed(reading: Reading) -> Rows:
    """Return the checks that did not pass: of the day shown, and those that stopped a later run."""
    return reading.ask(
        """
        select as_of_date, table_name, check_name, status, observed, threshold
        from today.data_quality_results where status <> 'passed'
        union all
        select as_of_date, table_name, check_name, status, observed, threshold
        from refused_checks where as_of_date >= $day and status <> 'passed'
        order by as_of_date desc, status, table_name, check_name limit 40""",
        day=reading.run.as_of_date,
    )


def last_runs(reading: Reading) -> Rows:
    """Return the last 12 runs, latest first, refused ones too."""
    return reading.ask(
        """
        select run_id, as_of_date, status, decision, is_latest, ended_at, published_at, rows_in,
            rows_quarantined, published_rows
        from pipeline_runs order by ended_at desc, run_id limit 12"""
    )
