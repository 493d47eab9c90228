"""Columns of recommendation_explanations: the evidence behind each listed item, and the parts of its score."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml.explain.parts import Parts
from ml.explain.reason_rows import Reasons, reason_codes
from ml.recommender.blend import POPULAR, Evidence
from ml.recommender.recommend import Shard

EVIDENCE, PART = "evidence", "part"


def _placed(cell: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows stand where, sorted by cell and `order`, and each one's rank from 1 within its cell."""
    rows = np.lexsort((order, cell))
    cell = cell[rows]
    return rows, np.arange(len(rows)) - np.searchsorted(cell, cell) + 1


def _evidence(shard: Shard, evidence: Evidence, reasons: Reasons, item_ids: np.ndarray) -> list[np.ndarray]:
    """Return cell, rank, code, type, id and contribution of each piece of evidence."""
    there = shard.items >= 0
    n = int(there.sum())
    ranked = evidence.ranked
    item, fall = ranked.item[there], ranked.from_item[there]
    source, is_bought = ranked.source[there], ranked.is_bought[there]
    # The reason shown comes first; where that is a rule or popularity, the user's own items come after it.
    main_is_item = (evidence.source[there] != POPULAR) & (
        item_ids[np.maximum(item[:, 0], 0)] == reasons.evidence_id
    )
    main_is_item &= reasons.evidence_type == "item"
    cells, places = np.nonzero(item >= 0)
    others = ~((places == 0) & main_is_item[cells])
    cells, places = cells[others], places[others]
    codes = reason_codes(source[cells, places], is_bought[cells, places], np.zeros(len(cells), dtype=bool))
    cell = np.concatenate([np.arange(n), cells])
    rows, rank = _placed(cell, np.concatenate([np.full(n, -1), places]))
    columns = [
        cell,
        np.concatenate([reasons.code, codes]),
        np.concatenate([reasons.evidence_type, np.full(len(cells), "item", dtype=object)]),
        np.concatenate([reasons.evidence_id, item_ids[item[cells, places]]]),
        np.concatenate([reasons.contribution, fall[cells, places]]),
    ]
    columns = [column[rows] for column in columns]
    kept = rank <= ranked.item.shape[2]
    return [columns[0][kept], rank[kept], *(column[kept] for column in columns[1:])]


def _parts(shard: Shard, parts: Parts) -> list[np.ndarray]:
    """Return cell, rank, code, type, id and contribution of each part that is not 0."""
    values = parts.values[shard.items >= 0]
    cells, part = np.nonzero(values)
    value = values[cells, part]
    rows, rank = _placed(cells, -value)
    names = np.array(parts.names, dtype=object)[part[rows]]
    return [cells[rows], rank, names, np.full(len(rows), "part", dtype=object), names, value[rows]]


def explanation_columns(
    shard: Shard,
    evidence: Evidence,
    parts: Parts,
    reasons: Reasons,
    recommendation_ids: np.ndarray,
    item_ids: np.ndarray,
) -> dict[str, Any]:
    """Return a shard's rows of recommendation_explanations, in the order of its lists.

    Args:
        shard: the lists.
        evidence: the user's own items behind each place.
        parts: what the scores are the sum of.
        reasons: those shown: always the first piece of evidence.
        recommendation_ids: of the listed items, in the order of the lists.
        item_ids: of the catalogue.

    """
    found = [_evidence(shard, evidence, reasons, item_ids), _parts(shard, parts)]
    kind = np.repeat([0, 1], [len(columns[0]) for columns in found])
    cell, rank, code, type_, name, value = (np.concatenate(pair) for pair in zip(*found, strict=True))
    rows = np.lexsort((rank, kind, cell))
    return {
        "recommendation_id": recommendation_ids[cell[rows]],
        "kind": np.array([EVIDENCE, PART], dtype=object)[kind[rows]],
        "reason_rank": rank[rows],
        "reason_code": code[rows],
        "evidence_type": type_[rows],
        "evidence_id": name[rows],
        "contribution": value[rows],
        "scale": np.where(kind[rows] == 0, "score", parts.scale).astype(object),
    }
