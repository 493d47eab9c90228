"""Lists of pools: rules hold, places are full, chances are told, every move has its row, twice the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ml.rerank.attributes import Attributes
from ml.rerank.moves import ACTIONS, NO_RANK, RULES, details
from ml.rerank.reranker import Reranker, log_relevance
from ml.rerank.rules import Rule, Rules
from ml.rerank.settings import RerankSettings

N_ITEMS = 50


def attributes_of(n: int = N_ITEMS) -> Attributes:
    paths = [
        ["Home > Kitchen > Kettles", "Home > Kitchen", "Toys", "", "Home > Kitchenware"][i % 5] for i in range(n)
    ]
    return Attributes.of(
        np.array([f"i{i:03d}" for i in range(n)], dtype=object),
        np.array(paths, dtype=object),
        category=np.array([path.split(" > ")[0] for path in paths], dtype=object),
        brand=np.array([["Lumora", "云途", ""][i % 3] for i in range(n)], dtype=object),
        price_band=np.array([["low", "mid"][i % 2] for i in range(n)], dtype=object),
    )


def make(
    rules: list[Rule] | None = None, shown: sparse.csr_matrix | None = None, n_users: int = 8, **changes
) -> Reranker:
    attributes = attributes_of()
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Reranker(
        attributes,
        vectors.astype(np.float32),
        Rules.of(rules or [], "home", attributes),
        shown if shown is not None else sparse.csr_matrix((n_users, N_ITEMS), dtype=np.int64),
        np.arange(N_ITEMS) % 2 == 1,
        np.array([f"u{n}" for n in range(n_users)], dtype=object),
        np.full(n_users, 20_000),
        "home",
        RerankSettings(**changes),
    )


def pools(n_users: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(N_ITEMS)[:n] for _ in range(n_users)])
    return np.arange(n_users), items, np.sort(rng.random((n_users, n)), axis=1)[:, ::-1].copy()


def by_rule(moves, rule: str):
    columns = (moves.user, moves.item, moves.action, moves.rank_before, moves.rank_after, moves.rule)
    return [row for row in zip(*columns, strict=True) if RULES[row[-1]] == rule]


PLAIN = {"variety": 0.0, "brand_cap": 1.0, "category_cap": 1.0, "exploration_slots": 0}


def test_with_every_dial_at_rest_the_order_by_score_stays():
    users, items, scores = pools(8, 40)
    result = make(**PLAIN).rerank(users, items, scores, 20)
    assert (result.items == items[:, :20]).all()
    assert (result.propensity == 1).all()
    assert len(result.moves) == 0


def test_what_is_blocked_is_never_shown_and_told_where_it_stood():
    users, items, scores = pools(8, 40)
    rule = Rule("r1", "block", category_path="Home > Kitchen")
    reranker = make([rule], **PLAIN)
    # The branch and what is below it; not its parent, nor a name that only begins alike.
    assert np.flatnonzero(reranker.blocked).tolist() == [i for i in range(N_ITEMS) if i % 5 in (0, 1)]
    result = reranker.rerank(users, items, scores, 20)
    assert not reranker.blocked[result.items].any()
    told = by_rule(result.moves, "blocked")
    assert {(u, i, before) for u, i, _, before, _, _ in told} == {
        (u, i, place + 1) for u in users for place, i in enumerate(items[u]) if i % 5 in (0, 1)
    }
    assert {(ACTIONS[action], after) for _, _, action, _, after, _ in told} == {("removed", NO_RANK)}


def test_a_rule_of_another_surface_does_not_hold():
    assert not make([Rule("r1", "block", brand="Lumora", surface="cart")]).blocked.any()
    assert make([Rule("r1", "block", brand="Lumora", surface="home")]).blocked.any()


def test_what_several_attributes_name_is_what_is_all_of_them():
    blocked = np.flatnonzero(make([Rule("r1", "block", brand="云途", category_path="Toys")]).blocked)
    assert blocked.tolist() == [i for i in range(N_ITEMS) if i % 3 == 1 and i % 5 == 2]
    assert not make([Rule("r1", "block")]).blocked.any(), "a rule about nothing does nothing"


def test_pins_stand_at_their_places_and_make_way_for_each_other():
    users, items, scores = pools(8, 40)
    pins = [Rule("b", "pin", item_id="i004", position=3), Rule("a", "pin", item_id="i007", position=3)]
    result = make(pins, **PLAIN).rerank(users, items, scores, 20)
    for user in users:
        wanted = [i for i in (7, 4) if i in items[user]]
        assert result.items[user, 2 : 2 + len(wanted)].tolist() == wanted
    told = by_rule(result.moves, "pinned")
    assert len(told) == sum((items[u] == i).any() for u in users for i in (4, 7))
    assert all(after in (3, 4) for *_, after, _ in told)


def test_a_pin_beyond_a_short_list_stands_last_without_a_gap():
    users, items, scores = pools(8, 5)
    pinned = Rule("a", "pin", item_id=f"i{items[0, 1]:03d}", position=15)
    result = make([pinned], **PLAIN).rerank(users, items, scores, 20)
    assert (result.items[:, :5] >= 0).all()
    assert (result.items[:, 5:] == -1).all()
    assert result.items[0, 4] == items[0, 1]


def test_a_block_outweighs_a_pin():
    rules = [Rule("a", "pin", item_id="i004", position=1), Rule("b", "block", item_id="i004")]
    users, items, scores = pools(8, 40)
    assert not (make(rules, **PLAIN).rerank(users, items, scores, 20).items == 4).any()


def test_a_boost_multiplies_and_is_told_only_where_it_moves():
    users, items, scores = np.array([0]), np.array([[10, 11, 12, 13]]), np.array([[1.0, 0.9, 0.5, 0.4]])
    reranker = make([Rule("r", "boost", item_id="i012", factor=1.9)], **PLAIN)
    result = reranker.rerank(users, items, scores, 4)
    assert result.items.tolist() == [[10, 12, 11, 13]]
    assert by_rule(result.moves, "boosted") == [(0, 12, ACTIONS.index("moved_up"), 3, 2, RULES.index("boosted"))]
    assert details(result.moves) == ["score times 1.9"]
    assert (
        len(make([Rule("r", "boost", item_id="i012", factor=1.1)], **PLAIN).rerank(users, items, scores, 4).moves)
        == 0
    )


def test_seen_too_often_makes_way():
    shown = sparse.csr_matrix(([9, 3], ([0, 0], [10, 11])), shape=(8, N_ITEMS))
    users, items, scores = np.array([0]), np.array([[10, 11, 12, 13]]), np.array([[1.0, 0.9, 0.5, 0.4]])
    result = make(shown=shown, **{**PLAIN, "seen_too_often": 5}).rerank(users, items, scores, 3)
    assert result.items.tolist() == [[11, 12, 13]]
    assert details(result.moves) == ["shown 9 times in 14 days without an answer"]


def test_exploration_is_uniform_over_what_is_left_and_the_day_of_the_last_action_decides():
    n_users = 3000
    rng = np.random.default_rng(1)
    items = np.tile(np.arange(30), (n_users, 1))
    scores = np.tile(np.linspace(1, 0.1, 30), (n_users, 1))
    reranker = make(n_users=n_users, variety=0.0, brand_cap=1.0, category_cap=1.0, exploration_place=5)
    result = reranker.rerank(np.arange(n_users), items, scores, 10)
    assert result.is_exploration.sum(axis=1).tolist() == [1] * n_users
    assert result.is_exploration[:, 4].all()
    drawn = result.items[:, 4]
    assert set(drawn) == set(range(9, 30)), "the nine best stand by score"
    assert result.propensity[:, 4] == pytest.approx(1 / 21)
    # Each about 143 times: a chi-squared of 20 degrees stays below 45 with a chance of 0.999.
    counts = np.bincount(drawn, minlength=30)[9:]
    assert ((counts - n_users / 21) ** 2 / (n_users / 21)).sum() < 45
    # In an estimate by inverse propensities every candidate's weight comes out right.
    rewards = rng.random(30)
    estimate = (rewards[drawn] / result.propensity[:, 4]).mean() / 21
    assert estimate == pytest.approx(rewards[9:].mean(), abs=0.03)
    some = reranker.rerank(np.arange(7, 9), items[7:9], scores[7:9], 10)
    assert (some.items == result.items[7:9]).all(), "who else is in the block does not matter"
    reranker.last_days = reranker.last_days + 1
    assert (reranker.rerank(np.arange(n_users), items, scores, 10).items[:, 4] != drawn).mean() > 0.9


def test_settings_without_meaning_are_refused():
    for wrong in (
        {"variety": 1.0},
        {"method": "magic"},
        {"brand_cap": 1.5},
        {"exploration_place": 0},
        {"varied_from": 0},
    ):
        with pytest.raises(ValueError, match="cannot be so"):
            RerankSettings(**wrong)
    assert replace(RerankSettings(), variety=0.2).version != RerankSettings().version


def test_variety_grows_with_the_place():
    assert RerankSettings(variety=0.4, varied_from=5).varieties(7) == pytest.approx([0, 0.1, 0.2, 0.3, *[0.4] * 3])
    assert RerankSettings(variety=0.4, varied_from=1).varieties(3) == pytest.approx([0.4] * 3)


def test_relevance_is_a_log_of_shares():
    found = log_relevance(np.array([[2.0, 1.0, -3.0, -np.inf], [-1.0, -2.0, -np.inf, -np.inf]]))
    assert found[0] == pytest.approx([0, -np.log(2), np.log(1e-4), -np.inf])
    assert found[1, 0] > found[1, 1] > -1


RULE = st.builds(
    Rule,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["block", "pin", "boost"]),
    st.one_of(st.none(), st.sampled_from(["i001", "i002", "i010", "i044"])),
    st.one_of(st.none(), st.just("Toys")),
    st.one_of(st.none(), st.just("Lumora")),
    st.sampled_from([None, "home", "cart"]),
    st.integers(1, 25),
    st.sampled_from([0.2, 1.5, 4.0]),
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(RULE, max_size=4, unique_by=lambda rule: rule.rule_id),
    st.integers(1, 45),
    st.integers(1, 20),
    st.integers(0, 1000),
    st.sampled_from(["dpp", "mmr"]),
    st.floats(0, 0.9),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.4]),
)
def test_whatever_the_rules(rules, n, length, seed, method, variety, slots, tail_share):
    rng = np.random.default_rng(seed)
    shown = sparse.csr_matrix(rng.integers(0, 12, (8, N_ITEMS)))
    dials = {"method": method, "variety": variety, "exploration_slots": slots, "tail_share": tail_share}
    reranker = make(rules, shown, **dials, exploration_place=3, brand_cap=0.4)
    users, items, scores = pools(8, n, seed)
    result = reranker.rerank(users, items, scores, length)
    allowed = ~reranker.blocked[items]
    for user in users:
        listed = result.items[user]
        size = (listed >= 0).sum()
        assert size == min(length, allowed[user].sum()), "as full as the pool allows"
        assert (listed[:size] >= 0).all(), "without gaps"
        assert len(set(listed[:size])) == size, "nothing twice"
        assert set(listed[:size]) <= set(items[user][allowed[user]]), "nothing that is blocked"
    assert ((result.propensity > 0) & (result.propensity <= 1)).all()
    assert (result.propensity[~result.is_exploration] == 1).all()
    assert not (result.is_exploration & (result.items < 0)).any()
    for place, item, _ in reranker.rules.pins[:1]:
        for user in users:
            n_allowed = allowed[user].sum()
            if place < length and item in items[user][allowed[user]] and place < n_allowed:
                assert result.items[user, place] == item
    # Each row of the trail tells the truth, and no rule has two rows for an item of a user.
    moves = result.moves.in_order()
    keys = list(zip(moves.user, moves.item, moves.rule, strict=True))
    assert len(set(keys)) == len(keys)
    for user, item, after in zip(moves.user, moves.item, moves.rank_after, strict=True):
        found = np.flatnonzero(result.items[user] == item)
        assert (found[0] + 1 if len(found) else NO_RANK) == after
    again = reranker.rerank(users, items, scores, length)
    assert (again.items == result.items).all()
    assert details(again.moves) == details(result.moves)
