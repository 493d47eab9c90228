"""Receipts of who was forgotten: `erasure_receipts/<pseudonym>.json` in the lake.

A receipt is opened before anything is deleted and closed once a search finds nothing. So an interrupted forgetting
is seen, and goes on; and cleaning takes the receipts as the list of those whose rows must not come back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expectations.tables import receipts_dir
from qianmian.step import write_atomically


@dataclass(frozen=True)
class Receipt:
    """One user's. `user_id` is the pseudonym; times are UTC, ISO 8601; `forgotten_at` is empty while it is open.

    `removed` counts rows (in targets too) by place; after an interruption it counts at least these.
    `models_to_retrain` learned from data that held the user. `earlier` are the receipts of requests before this
    one, of a person who came back.
    """

    user_id: str
    requested_at: str
    opened_at: str
    run_id: str
    forgotten_at: str = ""
    removed: dict[str, int] = field(default_factory=dict)
    models_to_retrain: list[str] = field(default_factory=list)
    search: dict[str, Any] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)

    @property
    def moment(self) -> datetime:
        """When the request was spoken."""
        return datetime.fromisoformat(self.requested_at)


class Receipts:
    """All receipts of a lake."""

    def __init__(self, lake: Path) -> None:
        self._folder = receipts_dir(lake)
        self.all: dict[str, Receipt] = {}
        for path in sorted(self._folder.glob("[0-9a-f]*.json")):
            receipt = Receipt(**json.loads(path.read_text()))
            self.all[receipt.user_id] = receipt

    @property
    def open(self) -> list[str]:
        """Pseudonyms of those who are still being forgotten."""
        return [user_id for user_id, receipt in self.all.items() if not receipt.forgotten_at]

    def ask(self, user_id: str, requested_at: datetime, run_id: str) -> None:
        """Open a receipt for a request, unless one for it, or for a later one, is there."""
        before = self.all.get(user_id)
        if before and before.moment >= requested_at:
            return
        earlier = [*before.earlier, {k: v for k, v in asdict(before).items() if k != "earlier"}] if before else []
        self._write(Receipt(user_id, requested_at.isoformat(), now(), run_id, earlier=earlier))

    def add(self, place: str, rows: Mapping[str, int]) -> None:
        """Add to what was removed from a place, by pseudonym."""
        for user_id, count in rows.items():
            before = self.all[user_id]
            total = Counter(before.removed)
            total[place] += count
            self._write(replace(before, removed=dict(sorted(total.items()))))

    def change(self, user_ids: Iterable[str], **changes: Any) -> None:
        """Write other values into receipts."""
        for user_id in user_ids:
            self._write(replace(self.all[user_id], **changes))

    def _write(self, receipt: Receipt) -> None:
        text = json.dumps(asdict(receipt), indent=2, ensure_ascii=False)
        write_atomically(self._folder / f"{receipt.user_id}.json", text)
        self.all[receipt.user_id] = receipt


def now() -> str:
    """Return this moment, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
