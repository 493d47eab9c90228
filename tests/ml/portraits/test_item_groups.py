"""A shop without categories gets groups of items alike in words, which last."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from expectations.tables import outputs_dir
from ml.text_encoder import store
from qianmian.step import StepError
from tests.ml.conftest import AS_OF, action, build_features, item, user
from tests.ml.portraits.conftest import days_of, output, run, traits

NEXT = AS_OF + timedelta(days=1)


def shop(items: int = 200):
    """Half of the items are lamps, half are socks; nobody says so but their titles and vectors."""
    goods = [
        item(
            f"i{n:03d}",
            title=f"{'Lamp' if n % 2 else 'Socks'} {'bright' if n % 2 else 'woollen'} no {n}",
            price=9.0,
        )
        for n in range(items)
    ]
    people = [user(f"u{n}") for n in range(6)]
    actions = [
        action(f"u{n}", f"i{(2 * k + n % 2):03d}", "purchase", days_ago=k + 1.0, quantity=1.0)
        for n in range(6)
        for k in range(8)
    ]
    return {
        "item_features": goods,
        "user_features": people,
        "user_actions": actions,
        "user_days": days_of(actions),
    }


def give_vectors(lake, items, version="text-1", day=AS_OF):
    rng = np.random.default_rng(3)
    vectors = rng.normal(0, 0.1, (len(items), 8))
    vectors[np.arange(len(items)), [int(row["title"].startswith("Lamp")) for row in items]] += 1.0
    if not store.known_hashes(lake, version):
        store.append(lake, version, [row["text_hash"] for row in items], vectors.astype(np.float32))
    store.choose_version(lake, day.isoformat(), version)


def test_groups_are_named_by_their_words_and_last(tmp_path):
    tables = shop()
    lake = build_features(tmp_path / "lake", **tables)
    give_vectors(lake, tables["item_features"])
    report = run(lake)
    assert (report["categories"], report["groups"]) == ("groups of items alike in words", 2)
    categories = {key[1] for key in traits(lake, "u1") if key[0] == "category_affinity"}
    assert len(categories) == 1
    assert set(categories.pop().split(" & ")) <= {"lamp", "bright", "lamp bright"}
    first = output(lake, "user_traits")
    give_vectors(lake, tables["item_features"], day=NEXT)
    assert run(lake, NEXT)["start"] == "earlier day"
    steady = ("user_id", "trait", "subject", "value")
    kept = [[r[c] for c in steady] for r in output(lake, "user_traits", NEXT) if r["trait"] == "category_affinity"]
    assert kept == [[r[c] for c in steady] for r in first if r["trait"] == "category_affinity"]


def test_another_text_model_finds_groups_anew(tmp_path):
    tables = shop()
    lake = build_features(tmp_path / "lake", **tables)
    give_vectors(lake, tables["item_features"])
    run(lake)
    give_vectors(lake, tables["item_features"], "text-2", NEXT)
    assert run(lake, NEXT)["start"] == "afresh"
    before = (outputs_dir(lake, AS_OF.isoformat()) / "item_groups.npz").read_bytes()
    assert run(lake)["start"] == "afresh", "the day after is not read"
    assert (outputs_dir(lake, AS_OF.isoformat()) / "item_groups.npz").read_bytes() == before


def test_without_vectors_the_step_says_what_to_run(tmp_path):
    with pytest.raises(StepError, match="no item vectors") as error:
        run(build_features(tmp_path / "lake", **shop(20)))
    assert "embed" in error.value.remedy
