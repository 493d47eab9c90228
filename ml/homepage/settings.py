"""What a page consists of, and what can be told of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from ml.rerank.settings import RerankSettings

HERO, BUY_AGAIN, PRICE_DROPS, VIEWED, NEW, FOR_YOU, POPULAR, AD = (
    "hero_campaign",
    "buy_again",
    "price_drops",
    "because_you_viewed",
    "new_for_you",
    "for_you",
    "popular_near_you",
    "ad",
)
#: In the order in which they choose their items: what a later one would show too, an earlier one has. The modules
#: with the most telling reason come first, the list takes what they left, popular ones fill up.
MODULES = (HERO, BUY_AGAIN, PRICE_DROPS, VIEWED, NEW, FOR_YOU, POPULAR, AD)
#: Those made of items.
ITEM_MODULES = MODULES[1:-1]


def _sizes() -> dict[str, tuple[int, int]]:
    return {
        BUY_AGAIN: (1, 6),
        PRICE_DROPS: (2, 8),
        VIEWED: (3, 8),
        NEW: (3, 8),
        FOR_YOU: (1, 20),
        POPULAR: (4, 10),
    }


@dataclass(frozen=True)
class PageSettings:
    """Every dial of the page; times are in days."""

    # Fewest and most items of a module; one that cannot have its fewest is left out.
    sizes: dict[str, tuple[int, int]] = field(default_factory=_sizes)
    # Rows of the user's list that one module may take from for_you. Rows shown to learn always stay there.
    list_rows_a_module: int = 4
    # Empty slots at the page's end for the shop's ad server; 0 for none.
    ads: int = 1

    # How likely a shopper goes on: from a module to the next, from an item to the one beside it. The chance that a
    # place is looked at is their product over the places before it (rank-biased precision, Moffat and Zobel, 2008,
    # equation 4, along both directions, as Ferrari Dacrema et al., 2021, do for pages of carousels).
    module_persistence: float = 0.8
    item_persistence: float = 0.9

    # because_you_viewed: how old the look at its item may be, and which share of the score of the item most like
    # it the others have at least.
    look_days: int = 30
    least_alike: float = 0.4
    # price_drops: how old the interest may be.
    interest_days: int = 90
    # buy_again: a thing bought on two days or more is due when this share of its usual gap is over, and until so
    # many gaps are: then the habit has ended.
    due_from: float = 0.8
    due_until: float = 2.5
    # new_for_you: age of what is new; how many categories a user follows at most, and which share of what the user
    # did lately makes one.
    new_days: int = 30
    followed_categories: int = 3
    followed_share: float = 0.15
    # Where more than this share of the catalogue is new, new says nothing.
    most_new: float = 0.3
    # hero_campaign: least share of the list's chances, or of what the user did lately, that lies in a campaign.
    least_fit: float = 0.1
    # Shown so often in 14 days without an answer, an item that is not in the list makes way; 0: never.
    seen_too_often: int = RerankSettings.seen_too_often

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            ValueError: a setting is out of its range.

        """
        shares = (
            "module_persistence",
            "item_persistence",
            "least_alike",
            "followed_share",
            "most_new",
            "least_fit",
        )
        wrong = [name for name in shares if not 0.0 <= getattr(self, name) <= 1.0]
        wrong += [
            name
            for name in ("list_rows_a_module", "ads", "followed_categories", "seen_too_often")
            if getattr(self, name) < 0
        ]
        wrong += [name for name in ("look_days", "interest_days", "new_days") if getattr(self, name) < 1]
        if set(self.sizes) != set(ITEM_MODULES) or not all(1 <= low <= high for low, high in self.sizes.values()):
            wrong.append("sizes")
        if not 0.0 < self.due_from < self.due_until:
            wrong.append("due_from and due_until")
        if wrong:
            raise ValueError(f"the page's {', '.join(wrong)} cannot be so: {self}")

    @property
    def version(self) -> str:
        """Name of these rules: other settings, another name."""
        told = json.dumps(asdict(self), sort_keys=True)
        return f"page-{hashlib.sha256(told.encode()).hexdigest()[:10]}"
