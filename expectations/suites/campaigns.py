"""Campaigns, and whom the shop told of them."""

from __future__ import annotations

from expectations.checks import FigureCheck, at_least_as, clean_suite, from_sql, pseudonyms
from expectations.suites.handed_over import handed_over

_CLEANING = "Cleaning promises this: clean again with --full-refresh; if it stays, it is a defect of cleaning."

CAMPAIGNS = clean_suite(
    "campaigns",
    "campaign",
    at_least_as("No campaign ends before it starts", "ends_on", "starts_on", _CLEANING),
    *handed_over("campaigns"),
)

CAMPAIGN_CONTACTS = clean_suite(
    "campaign_contacts",
    "contact",
    pseudonyms("No contact names a user as the shop does"),
    FigureCheck(
        "Every contact is of a campaign that is known",
        from_sql("""
            with contacts as (
                select campaign_id, campaign_id in (select campaign_id from clean.campaigns) as is_known
                from new.campaign_contacts
            )
            select count(*) filter (where not is_known), count(*), min(campaign_id) filter (where not is_known)
            from contacts
        """),
        "contacts",
        "Have the shop hand over these campaigns: nothing can be learnt from a contact without them.",
        low=0,
        high=0,
        severity="warning",
        column="campaign_id",
    ),
    *handed_over("campaign_contacts"),
)
