"""Queries with what was chosen after them, as pairs for the text encoder."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.tables import features_db
from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.text_encoder.fine_tuning.batches import Batch, Drawing, Judge
from ml.text_encoder.fine_tuning.encoder import TextEncoder
from ml.text_encoder.fine_tuning.pairs import ItemTexts, Pairs, find_pairs
from ml.text_encoder.fine_tuning.queries import MIN_USERS_ASKING, Searches, query_pairs, read_searches
from ml.text_encoder.fine_tuning.settings import FineTuning, pair_settings
from ml.text_encoder.fine_tuning.team import Team
from ml.text_encoder.fine_tuning.train import Exam, Trainer

from .conftest import AS_OF, build_features, item
from .tiny_encoder import build_tiny_encoder

STRENGTHS = {"view": 0.3, "purchase": 1.0}
LONG = ". a description that is long enough to be told"


def searches_of(*rows: tuple[str, str, int, str]) -> Searches:
    """Make searches of (query, user, item, choice), a day apart."""
    query, user, place, choice = zip(*rows, strict=True)
    return Searches(
        np.array(query, dtype=object), np.array(user, dtype=object), np.array(place),
        np.array(choice, dtype=object), np.arange(len(rows), dtype=float),
    )  # fmt: skip


def asked_by_many(
    query: str, *choices: tuple[int, str], users: int = MIN_USERS_ASKING
) -> list[tuple[str, str, int, str]]:
    return [(query, f"u{n}", place, choice) for n in range(users) for place, choice in choices]


NUMBER, TEXTS = np.array([0, 1, 2, 1, -1]), ["brush", "soap", "towel"]


def test_a_query_goes_with_what_was_chosen_by_how_strongly_it_was() -> None:
    found = query_pairs(
        searches_of(*asked_by_many("wash", (1, "purchase"), (3, "purchase"), (2, "view"), (4, "purchase"))),
        NUMBER, TEXTS, STRENGTHS,
    )  # fmt: skip
    queries, weight, asked = found
    assert queries == ["wash"]
    # Items 1 and 3 have one text; item 4 has none.
    assert weight.toarray()[0] == pytest.approx([0.0, 2.0 * MIN_USERS_ASKING, 0.3 * MIN_USERS_ASKING])
    assert asked.tolist() == [3 * MIN_USERS_ASKING]


def test_what_few_asked_what_names_an_item_and_weak_choices_are_left_out() -> None:
    rows = [
        *asked_by_many("rare", (0, "purchase"), users=MIN_USERS_ASKING - 1),
        *[("mine", "u0", 0, "purchase")] * 9,
        *asked_by_many("soap", (0, "purchase")),
        *asked_by_many("idle", (0, "impression")),
        *asked_by_many("kept", (0, "view")),
    ]
    queries, weight, asked = query_pairs(searches_of(*rows), NUMBER, TEXTS, STRENGTHS)
    assert (queries, weight.shape, len(asked)) == (["kept"], (1, 3), 1)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from("uvwxyz"), st.integers(0, 4), st.sampled_from(["view", "x"])
        ),
        max_size=40,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_query_of_few_users_is_ever_told(rows: list[tuple[str, str, int, str]]) -> None:
    empty = Searches(*(np.array([], dtype=kind) for kind in (object, object, np.int64, object, float)))
    queries, weight, asked = query_pairs(searches_of(*rows) if rows else empty, NUMBER, TEXTS, STRENGTHS)
    for query in set("abc"):
        askers = {
            user for q, user, place, choice in rows if q == query and choice == "view" and NUMBER[place] >= 0
        }
        assert (query in queries) == (len(askers) >= MIN_USERS_ASKING)
    assert weight.shape == (len(queries), len(TEXTS))
    assert (asked >= MIN_USERS_ASKING).all()


def small_log(*chosen: int) -> ActionLog:
    """Make a log of one basket of the items `chosen`."""
    n = len(chosen)
    return ActionLog(
        np.zeros(n, dtype=np.int64), np.array(chosen, dtype=np.int64),
        np.full(n, EVENT_CODES["purchase"], dtype=np.int8), np.zeros(n), np.zeros(n, dtype=np.int64),
        np.ones(n), 1, 4,
    )  # fmt: skip


def small_pairs(searches: Searches | None) -> Pairs:
    titles = np.array(["soap", "brush", "towel", "mat"], dtype=object)
    texts = np.array(["soap" + LONG, "brush", "towel", "mat"], dtype=object)
    return find_pairs(small_log(0, 1), ItemTexts(titles, texts), pair_settings(), searches)


SEARCHES = searches_of(
    *asked_by_many("wash", (2, "purchase"), (0, "view")), *asked_by_many("dry", (2, "purchase"))
)


def test_queries_stand_between_items_and_titles_and_have_rows_but_no_columns() -> None:
    found = small_pairs(SEARCHES)
    assert found.texts == ["brush", "mat", "soap" + LONG, "towel", "dry", "wash", "soap", LONG.lstrip(" .")]
    assert (found.n_items, found.n_owners, found.owner.tolist()) == (4, 6, [0, 1, 2, 3, 4, 5, 2, 2])
    rows = {(found.texts[a], found.texts[b]): w for a, b, w in zip(*_entries(found), strict=True)}
    assert rows["wash", "towel"] == pytest.approx(1.0 / 1.3)
    assert rows["wash", "soap" + LONG] == pytest.approx(0.3 / 1.3)
    assert rows["dry", "towel"] == pytest.approx(1.0)
    assert not {b for _, b in rows} & {"wash", "dry"}
    # brush - soap, title - description, and three of queries.
    assert len(found) == 5


def _entries(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = pairs.weight.tocoo()
    return found.row, found.col, found.data


def test_without_queries_the_pairs_are_those_of_before() -> None:
    nobody = Searches(*(np.array([], dtype=kind) for kind in (object, object, np.int64, object, float)))
    plain, empty = small_pairs(None), small_pairs(nobody)
    assert plain.texts == empty.texts
    assert plain.n_owners == plain.n_items == 4
    assert (plain.weight != empty.weight).nnz == 0
    assert len(Drawing(plain, FineTuning(batch_texts=4), 0).anchors) == 4


def test_a_query_is_an_anchor_whose_partner_comes_along_and_no_negative_of_anything() -> None:
    pairs = small_pairs(SEARCHES)
    wash = pairs.texts.index("wash")
    drawing = Drawing(pairs, FineTuning(batch_texts=5), 0)
    # The towel was chosen after searches alone: that makes it known.
    assert [pairs.texts[n] for n in drawing.known_items] == ["brush", "soap" + LONG, "towel"]
    drawn = [drawing.batch(step) for step in range(20)]
    assert any(wash in batch.fresh for batch in drawn)
    for batch in drawn:
        if wash in batch.fresh:
            assert np.isin(pairs.weight[wash].indices, batch.fresh).any()
    fresh = np.array([pairs.texts.index(text) for text in ("brush", "dry", "wash")])
    rest = np.array([pairs.texts.index(text) for text in ("mat", "soap" + LONG, "towel")])
    batch = Batch(fresh, rest)
    judge = Judge(pairs, torch.nn.functional.normalize(torch.eye(pairs.n_owners), dim=1), FineTuning(margin=None))
    positives = judge.positives(batch)
    told = {(pairs.texts[fresh[a]], pairs.texts[batch.candidates[c]]) for a, c in zip(
        positives.anchor.tolist(), positives.candidate.tolist(), strict=True)}  # fmt: skip
    assert told == {
        ("brush", "soap" + LONG), ("dry", "towel"), ("wash", "towel"), ("wash", "soap" + LONG),
    }  # fmt: skip
    is_negative = judge.negatives(batch, positives, torch.zeros(3, 6))
    held = [{pairs.texts[n] for n in batch.candidates[row.numpy()]} for row in is_negative]
    assert held == [{"mat", "towel"}, {"brush", "mat", "soap" + LONG}, {"brush", "mat"}]
    assert judge.log_share_of(batch).shape == (6,)


def test_training_brings_a_query_near_what_is_chosen_after_it(tmp_path: Path) -> None:
    """Words of queries stand in no item: only their pairs can teach what they mean."""
    words = [f"item{n}" for n in range(12)]
    texts = np.array(words, dtype=object)
    log = ActionLog(
        np.repeat(np.arange(12), 2), np.concatenate([[n, (n // 4) * 4 + (n + 1) % 4] for n in range(12)]),
        np.full(24, EVENT_CODES["purchase"], dtype=np.int8), np.zeros(24), np.repeat(np.arange(12), 2),
        np.ones(24), 12, 12,
    )  # fmt: skip
    rows = [
        row for k in range(3) for row in asked_by_many(f"query{k}", *[(k * 4 + n, "purchase") for n in range(4)])
    ]
    pairs = find_pairs(log, ItemTexts(np.full(12, ""), texts), pair_settings(), searches_of(*rows))
    tiny = build_tiny_encoder(tmp_path / "tiny", {*words, "query0", "query1", "query2"})
    small = FineTuning(
        method="full", learning_rate=3e-3, batch_texts=12, chunk_texts=8, epochs=30.0, least_steps=1,
        evaluations=2, precision="float32", margin=None, shares=(1.0,),
    )  # fmt: skip

    def right(encoder: TextEncoder) -> float:
        vectors = encoder.encode(np.arange(pairs.n_owners)).numpy()
        scores = vectors[12:] @ vectors[:12].T
        own = [[pairs.texts.index(f"item{k * 4 + n}") for n in range(4)] for k in range(3)]
        return float(np.mean([len({*np.argsort(-scores[k])[:4]} & {*own[k]}) / 4 for k in range(3)]))

    encoder = TextEncoder(tiny, pairs.texts, small, "cpu", 0)
    values = iter([0.0, 0.1, 0.2])
    before = right(encoder)
    Trainer(encoder, pairs, small, 0, Exam(lambda _: next(values), np.arange(12)), Team()).fit()
    assert right(encoder) >= max(0.9, before + 0.2)


def test_searches_are_read_with_their_items_and_cut_by_whole_days(tmp_path: Path) -> None:
    midnight = datetime.combine(AS_OF, datetime.min.time())
    row = {"user_id": "u", "query": "Green TEA", "chosen_item_id": "tea", "choice": "purchase"}
    lake = build_features(
        tmp_path / "lake",
        item_features=[item("cup"), item("tea")],
        user_searches=[
            {**row, "event_at": midnight - timedelta(minutes=1), "event_date": AS_OF - timedelta(days=1)},
            {**row, "event_at": midnight, "event_date": AS_OF},
            {**row, "event_at": midnight, "event_date": AS_OF, "chosen_item_id": None, "choice": None},
        ],
    )
    with duckdb.connect(str(features_db(lake)), read_only=True) as connection:
        found = read_searches(connection)
    assert found.query.tolist() == ["green tea"] * 2
    assert found.item.tolist() == [1, 1]
    day = float((AS_OF - datetime(1970, 1, 1).date()).days)
    assert found.before(day).time.tolist() == [pytest.approx(day - 1 / 1440)]
    assert len(replace(found).before(day + 1).item) == 2
