"""The bench of lists by product: small runs end with a line of figures, and lists that differ are noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import top_k


def task(**changes) -> top_k.Task:
    values = {"users": 20, "items": 300, "dimensions": 8, "k": 4, "barred": 3, "device": "cpu", "threads": 1}
    return top_k.Task(**{**values, "rough": False, "seed": 0, **changes})


def lists(name: str, of: top_k.Task) -> top_k.Lists:
    found = list(top_k.CONTENDERS[name](of, of.catalogue(), of.blocks(), of.barred_items()))
    positions, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    return positions, scores


@pytest.fixture
def small(monkeypatch):
    """Children are spawned, so what is made small here is what they do on order of the parent."""
    monkeypatch.setattr(top_k, "REPEATS", 1)
    monkeypatch.setattr(top_k, "GROWTH", (10, 40))


@pytest.mark.parametrize("barred", [0, 3])
@pytest.mark.parametrize("rough", [False, True])
def test_all_contenders_find_the_same(barred, rough, monkeypatch):
    monkeypatch.setattr(top_k, "BLOCK", 7)  # more than one block
    one = task(barred=barred, rough=rough)
    expected = lists("ours", one)
    for name in ("implicit", "numpy"):
        assert top_k.check_same(expected, lists(name, one), one.dimensions) == 0


def test_barred_items_are_in_no_list():
    one = task(barred=200)
    indptr, indices = one.barred_items()
    positions, _ = lists("ours", one)
    for user, found in enumerate(positions):
        assert not set(found) & set(indices[indptr[user] : indptr[user + 1]])


def test_other_items_pass_only_with_equal_scores():
    positions, scores = np.array([[5, 6, 7]]), np.array([[3.0, 2.0, 2.0]], dtype=np.float32)
    assert top_k.check_same((positions, scores), (np.array([[5, 7, 6]]), scores), 8) == 2
    with pytest.raises(AssertionError):
        top_k.check_same((positions, scores), (np.array([[6, 5, 7]]), scores), 8)
    with pytest.raises(AssertionError):
        top_k.check_same((positions, scores), (positions, scores + 0.1), 8)


def test_the_clock_stands_still_while_users_are_made():
    watch = top_k.Stopwatch(iter([np.zeros(1), np.ones(1)]))
    assert [float(value[0]) for value in watch] == [0, 1]
    assert watch.seconds > 0


def test_the_last_line_has_all_figures(small, monkeypatch, capsys):
    words = "top_k --users 30 --items 300 --dimensions 8 --k 4 --threads 1 --no-rough --peers --grow"
    monkeypatch.setattr("sys.argv", words.split())
    top_k.main()
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["users"] == 30
    assert line["threads"] == 1
    assert line["rough"] is False
    assert set(line["figures"]) == {"ours", "implicit", "numpy"}
    assert all(figure["users_per_second"] > 0 for figure in line["figures"].values())
    assert set(line["ratios"]) == {"implicit", "numpy"}
    assert set(line["growth"]) == {"10", "40"}
    assert set(line["versions"]) == {"torch", "numpy", "implicit"}
    assert 0 <= line["shares"]["product"] < 1  # rounded: on a busy machine nothing may be left


def test_a_process_that_fails_ends_the_run():
    with pytest.raises(EOFError):
        top_k.measure(task(k=0), ["ours"], repeats=1)
