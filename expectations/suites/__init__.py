"""The suites: one for each clean table and each published table."""

from __future__ import annotations

from expectations.checks import Suite
from expectations.suites import (
    campaigns,
    events,
    home_recommendations,
    item_lists,
    items,
    quarantine,
    reviews,
    run_quality,
    user_portraits,
    users,
)

CLEAN_SUITES: dict[str, Suite] = {
    suite.table.name: suite
    for suite in (
        *(events.EVENTS, items.ITEMS, users.USERS, users.ERASURE_REQUESTS, users.BOTS),
        *(campaigns.CAMPAIGNS, campaigns.CAMPAIGN_CONTACTS, reviews.REVIEWS, quarantine.QUARANTINE),
    )
}
#: In the order in which they run: data_quality_results is about the results of all others.
PUBLISHED_SUITES: dict[str, Suite] = {
    suite.table.name: suite
    for suite in (
        *(user_portraits.USER_PORTRAITS, home_recommendations.HOME_RECOMMENDATIONS),
        *(item_lists.SIMILAR_ITEMS, item_lists.HOT_ITEMS),
        *(run_quality.MODEL_METRICS, run_quality.DATA_QUALITY_RESULTS),
    )
}
