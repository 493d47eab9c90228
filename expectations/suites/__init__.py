"""The suites: one for each clean table and each published table."""

from __future__ import annotations

from expectations.checks import Suite
from expectations.suites import (
    campaigns,
    events,
    home_recommendations,
    homepage_layouts,
    item_lists,
    item_portraits,
    items,
    merchandising_rules,
    quarantine,
    recommendation_explanations,
    recommendation_filters,
    reviews,
    run_quality,
    taste_segments,
    user_portraits,
    user_traits,
    users,
)

CLEAN_SUITES: dict[str, Suite] = {
    suite.table.name: suite
    for suite in (
        *(events.EVENTS, items.ITEMS, users.USERS, users.ERASURE_REQUESTS, users.BOTS),
        merchandising_rules.MERCHANDISING_RULES,
        *(campaigns.CAMPAIGNS, campaigns.CAMPAIGN_CONTACTS, reviews.REVIEWS, quarantine.QUARANTINE),
    )
}
#: In the order in which they run: data_quality_results is about the results of all others.
PUBLISHED_SUITES: dict[str, Suite] = {
    suite.table.name: suite
    for suite in (
        *(user_portraits.USER_PORTRAITS, user_traits.USER_TRAITS, taste_segments.TASTE_SEGMENTS),
        *(item_portraits.ITEM_PORTRAITS, home_recommendations.HOME_RECOMMENDATIONS),
        recommendation_explanations.RECOMMENDATION_EXPLANATIONS,
        recommendation_filters.RECOMMENDATION_FILTERS,
        homepage_layouts.HOMEPAGE_LAYOUTS,
        *(item_lists.SIMILAR_ITEMS, item_lists.HOT_ITEMS),
        *(run_quality.MODEL_METRICS, run_quality.DATA_QUALITY_RESULTS),
    )
}
