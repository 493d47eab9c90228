"""Outputs: what models write for one day, as Parquet in `outputs/as_of_date=<day>/<table>.parquet`."""

from __future__ import annotations

from expectations.tables.portraits import PORTRAITS
from expectations.tables.shape import Table, columns

_RECOMMENDATION = columns(
    "user_id! string | Pseudonym: HMAC-SHA256 of the shop's user id.",
    "surface! string | Where it is meant to be shown: home.",
    "rank! integer | Place in the list, from 1.",
    "recommendation_id! string | Names this row in later events' recommendation_id.",
    "item_id! string | What is recommended.",
    "score! double | The model's score; comparable within one user and day only.",
    "probability! double | Calibrated chance that the user buys the item within 7 days.",
    "candidate_source! string | Source with the largest share of the score: item_to_item, text, buy_again, "
    "popular_in_segment, sequence_model.",
    "reason_code! string | because_you_bought, because_you_viewed, similar_text, buy_again, "
    "popular_in_segment, "
    "popular, new_in_category, little_known.",
    "reason_text! string | The reason in English, written from these columns alone.",
    "reason_text_zh! string | The reason in Chinese, written from these columns alone.",
    "evidence_type! string | item, segment or category.",
    "evidence_id! string | The item acted on, the segment, or the category behind the reason; the item itself "
    "where it is little known.",
    "contribution! double | How much of the score that evidence gave: its loss without the item or without the "
    "rule for new items, or what popularity alone gives.",
    "is_exploration! boolean | Shown to learn rather than by score.",
    "is_promoted! boolean | Moved up by a rule: a new item, which no count speaks for yet.",
    "propensity! double | Chance with which the policy would show this row: 1 where nothing is random.",
    "experiment_id string | Experiment, where one runs (null until experiments are built).",
    "variant string | Variant of the experiment (null until experiments are built).",
)

OUTPUTS: dict[str, Table] = {
    table.name: table
    for table in (
        *PORTRAITS,
        Table(
            "home_recommendations",
            "Up to 20 items for every user, best first.",
            ("user_id", "surface", "rank"),
            _RECOMMENDATION,
        ),
        Table(
            "recommendation_explanations",
            "Why a recommendation stands where it does: its evidence, and the parts that its score is the sum of.",
            ("recommendation_id", "kind", "reason_rank"),
            columns(
                "recommendation_id! string | Recommendation of home_recommendations.",
                "kind! string | evidence: what the score loses without one item of the user's past (at most 3 "
                "rows), or the popularity or rule behind the reason; part: one of the additive parts of the "
                "score.",
                "reason_rank! integer | From 1. Evidence: the reason shown in home_recommendations, then by "
                "contribution; parts: largest contribution first.",
                "reason_code! string | As in home_recommendations for evidence; for a part what it is of: "
                "item_to_item, text, buy_again, popular_in_segment (the blend); base, blend, sequence_model, "
                "mixture, item_to_item, text, buy_again, popularity, activity, new_item (a learned recommender).",
                "evidence_type! string | item, segment, category or part.",
                "evidence_id! string | The item acted on, the segment, the category, or the name of the part.",
                "contribution! double | In the unit of `scale`.",
                "scale! string | score: parts add up to the score; log_score: they add up to its logarithm.",
            ),
        ),
        Table(
            "recommendation_filters",
            "What a rule did to an item that the model would have shown to a user, or had to be kept from "
            "showing.",
            ("user_id", "surface", "item_id", "rule"),
            columns(
                "user_id! string | Pseudonym.",
                "surface! string | home.",
                "item_id! string | Item.",
                "rule! string | already_bought, dismissed, returned, not_on_sale, seen_too_often, blocked, "
                "pinned, "
                "boosted, brand_cap, category_cap, variety, tail_share, exploration.",
                "action! string | removed, moved_down, moved_up, inserted.",
                "rule_id string | The shop's own rule behind it, where it is one.",
                "rule_version! string | Version of the rules.",
                "rank_before integer | Place by score alone; null where the item had none.",
                "rank_after integer | Place in the list; null where it is not in it.",
                "detail! string | What was seen, in numbers.",
            ),
        ),
        Table(
            "homepage_layouts",
            "The home page of a user: modules from top to bottom, each with its contents; nothing stands twice.",
            ("user_id", "slot"),
            columns(
                "user_id! string | Pseudonym.",
                "slot! integer | Place on the page, from 1.",
                "module! string | hero_campaign, for_you, buy_again, because_you_viewed, price_drops, "
                "new_for_you, "
                "popular_near_you, ad.",
                "module_rank! integer | Place of the module, from 1.",
                "rank! integer | Place within the module, from 1.",
                "module_title! string | Title in English.",
                "module_title_zh! string | Title in Chinese.",
                "content_type! string | item, campaign or ad.",
                "content_id! string | Item, campaign or ad slot.",
                "recommendation_id string | The home recommendation that it is, where it is one.",
                "reason_code! string | Why it stands in this module.",
                "reason_text! string | The reason in English.",
                "reason_text_zh! string | The reason in Chinese.",
                "evidence_type string | item, segment, category, region, rhythm or price.",
                "evidence_id string | What the reason rests on: an id or a name; days between purchases (rhythm); "
                "price before and now, as 39.00/29.00 (price).",
                "probability double | Chance that the user buys the item within 7 days, where it is known.",
                "expected_value! double | Value of the slot: its chance (a campaign: that any item it covers is "
                "bought), times how likely the place is looked at.",
                "is_exploration! boolean | Shown to learn rather than by score.",
                "propensity! double | Chance with which the policy would show this row: 1 where nothing is "
                "random.",
            ),
        ),
        Table(
            "similar_items",
            "The items most like an item: bought after it, or alike in words.",
            ("item_id", "rank"),
            columns(
                "item_id! string | Item looked at.",
                "rank! integer | From 1; at most 20.",
                "similar_item_id! string | Item like it, active.",
                "score! double | Blend of co-occurrence and text similarity.",
                "reason_code! string | bought_together or similar_text: the larger part of the score.",
            ),
        ),
        Table(
            "model_metrics",
            "How good the lists are, on purchases the model did not see.",
            ("protocol", "model", "segment", "metric", "k"),
            columns(
                "model! string | What was measured.",
                "segment! string | all, or a slice: heavy, light, new (users), head_items, tail_items.",
                "metric! string | recall, ndcg or coverage; neighbour_recall: the share of each item's texts most "
                "alike that the search for them finds.",
                "k! integer | Length of the list.",
                "value! double | The figure.",
                "value_low! double | Lower end of its 95% bootstrap interval over users.",
                "value_high! double | Upper end.",
                "baseline_model! string | What it is compared with: popularity; for neighbour_recall "
                "exact_search.",
                "baseline_value! double | The baseline's figure on the same users.",
                "champion_value double | The figure of the champion that was challenged (protocol promotion; "
                "else "
                "null).",
                "users! integer | Users measured; for neighbour_recall item texts.",
                "protocol! string | days_after: the purchases of the 7 days after the as-of date; held_out: "
                "the "
                "last 7 days up to it, predicted from the days before; promotion: the week by which the weekly "
                "training last decided; neighbours: the item texts of the as-of date, no purchases.",
                "measured_from! date | First day of the purchases predicted.",
                "measured_to! date | Last day.",
            ),
        ),
        Table(
            "data_quality_results",
            "One check of one table in one run.",
            ("table_name", "check_name"),
            columns(
                "stage! string | clean (before features) or tables (before publishing).",
                "table_name! string | Table checked.",
                "check_name! string | What is expected, in the business's words.",
                "column_name string | Column, where it is about one.",
                "status! string | passed, warning (failed, recorded) or failed (failed, stops the run).",
                "severity! string | error or warning.",
                "observed string | What was seen.",
                "threshold string | What was asked for.",
                "rows_checked! integer | Rows looked at.",
            ),
        ),
    )
}
