"""The protocol of bench.finetune on a small folder of Beauty's shape: what is held out stays out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench import finetune
from bench.finetune import Split
from bench.next_item import load
from tests.ml.tiny_encoder import build_tiny_encoder

KINDS, EACH, USERS, HELD_OUT = 5, 16, 250, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users stay within one kind of item; each takes seven of its sixteen."""
    rng = np.random.default_rng(0)
    made = tmp_path_factory.mktemp("data")
    rows = []
    for user in range(USERS):
        chosen = rng.permutation(EACH)[:7] + user % KINDS * EACH
        for position, item in enumerate(chosen.tolist()):
            rows.append((user, item, position, {5: "valid", 6: "test"}.get(position, "train")))
    user, item, position, split = map(list, zip(*rows, strict=True))
    pq.write_table(
        pa.table({"user_id": user, "item_id": item, "position": position, "split_loo": split}),
        made / "interactions.parquet",
    )
    titles = [f"kind{n // EACH}{'abc'[n % 3]} item{n}" for n in range(KINDS * EACH)]
    pq.write_table(pa.table({"item_id": list(range(KINDS * EACH)), "title": titles}), made / "items.parquet")
    return made


def test_what_is_held_out_is_in_no_pair_no_history_and_no_choice(folder: Path) -> None:
    data = load(folder)
    split = Split(data, np.random.default_rng(3).permutation(KINDS * EACH), HELD_OUT)
    cold, choosing = split.drawn[:HELD_OUT], split.drawn[HELD_OUT : 2 * HELD_OUT]
    assert not np.isin(split.train_log.item, split.drawn[: 2 * HELD_OUT]).any()
    validation, test = split.validation(1.4), split.test(1.4)
    assert np.isin(validation.targets.item, choosing).all()
    assert not validation.is_candidate[cold].any()
    assert np.isin(test.targets.item, cold).all()
    assert test.is_candidate.all()
    assert not np.isin(test.history.indices, cold).any()
    expected = ((data[2] == "test") & np.isin(data[1], cold)).sum()
    assert len(test) == expected > 20


def test_a_line_a_seed_with_base_and_fine_tuned_side_by_side(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {word for text in load(folder)[-1] for word in text.split()}
    tiny = build_tiny_encoder(tmp_path / "tiny", words)
    command = ["finetune", str(folder), "--model", str(tiny), "--items", str(HELD_OUT), "--method", "full"]
    dials = ["learning_rate=0.003", "epochs=20", "least_steps=1", "batch_texts=32", 'precision="float32"']
    monkeypatch.setattr("sys.argv", [*command, "--seeds", "0", "1", *(f"--set={dial}" for dial in dials)])
    finetune.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seed"] for line in lines] == [0, 1]
    for line in lines:
        assert line["set"]["epochs"] == 20
        assert line["users"] > 20
        lift = line["fine_tuned"]["recall@10"] / line["base"]["recall@10"] - 1
        assert line["lift_of_recall@10"] == pytest.approx(lift, abs=2e-3)
        assert line["training"]["best_value"] > line["training"]["base_value"]
        assert lift > 0.2
