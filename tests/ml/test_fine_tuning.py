"""Fine-tuning of a tiny encoder: loss, pairs, masks, and a training that can be torn and shared."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from ml.recommender.dataset import EVENT_CODES, ActionLog
from ml.recommender.settings import BlendSettings
from ml.recommender.tune import Targets
from ml.text_encoder import models
from ml.text_encoder.encode import encode_chunks
from ml.text_encoder.fine_tuning.batches import Batch, Drawing, Judge
from ml.text_encoder.fine_tuning.encoder import TextEncoder
from ml.text_encoder.fine_tuning.evaluate import ask, later_questions, lists_of, mean_ndcg
from ml.text_encoder.fine_tuning.loss import Positives, info_nce
from ml.text_encoder.fine_tuning.optimiser import optimiser_of, rate_at
from ml.text_encoder.fine_tuning.pairs import ItemTexts, Pairs, find_pairs
from ml.text_encoder.fine_tuning.settings import FineTuning, pair_settings
from ml.text_encoder.fine_tuning.team import Team
from ml.text_encoder.fine_tuning.train import Exam, Trainer
from tests.ml.tiny_encoder import build_tiny_encoder
from tests.ml.tiny_models import ARCHITECTURES, WORDS

KINDS, EACH = 6, 10
#: Which words stand in texts that go together is nothing that a model with random weights could know.
TEXTS = [f"kind{k}{'ab'[n % 2]} plain{n % 5} item{k * EACH + n}" for k in range(KINDS) for n in range(EACH)]
SMALL = FineTuning(
    method="full",
    learning_rate=3e-3,
    batch_texts=32,
    chunk_texts=8,
    epochs=6.0,
    least_steps=1,
    evaluations=3,
    precision="float32",
)


def log_of(rows: list[tuple[int, int, str, float, int]], n_users: int, n_items: int) -> ActionLog:
    """Make a log of (user, item, event, time, step)."""
    user, item, event, time, step = zip(*rows, strict=True)
    return ActionLog(
        np.array(user), np.array(item), np.array([EVENT_CODES[e] for e in event], dtype=np.int8),
        np.array(time, dtype=float), np.array(step), np.ones(len(rows)), n_users, n_items,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> tuple[Pairs, ActionLog]:
    """Each user stays within one kind of item; one item of each kind is bought by nobody before the end."""
    rng = np.random.default_rng(1)
    rows, step = [], 0
    for user in range(180):
        kind = user % KINDS
        for place in rng.permutation(EACH - 1)[:5]:
            rows.append((user, kind * EACH + int(place), "purchase", float(len(rows) % 5), step))
            step += 1
    log = log_of(rows, 180, KINDS * EACH)
    return find_pairs(log, ItemTexts(np.full(60, ""), np.array(TEXTS, dtype=object)), pair_settings()), log


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word for text in TEXTS for word in text.split()}
    return build_tiny_encoder(tmp_path_factory.mktemp("models") / "tiny", words, dropout=0.1)


def trainer_of(tiny: Path, shop: tuple[Pairs, ActionLog], settings: FineTuning = SMALL, seed: int = 0) -> Trainer:
    pairs, log = shop
    new = np.arange(EACH - 1, 60, EACH)
    users = np.arange(60)
    targets = Targets(users, users, new[users % KINDS])
    number = pairs.number_of(TEXTS)
    questions = ask(log, 10.0, targets, np.ones(60, dtype=bool), BlendSettings())
    return Trainer(
        TextEncoder(tiny, pairs.texts, settings, "cpu", seed), pairs, settings, seed,
        Exam(lambda vectors: mean_ndcg(vectors[number], questions, 10), np.arange(60)), Team(),
    )  # fmt: skip


def weights(trainer: Trainer) -> np.ndarray:
    return torch.cat([p.ravel() for p in trainer.encoder.state().values()]).numpy()


# ---- the loss and what is masked


def test_the_loss_is_the_formula_worked_out_by_hand() -> None:
    anchors = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.manual_seed(0)), dim=1)
    candidates = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    positives = Positives(torch.tensor([0, 0, 2]), torch.tensor([1, 2, 4]), torch.tensor([1.0, 3.0, 2.0]))
    is_negative = torch.tensor([[1, 0, 0, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], dtype=torch.bool)
    log_share = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2]))
    found = info_nce(anchors, candidates, positives, is_negative, log_share, 0.1)
    expected = 0.0
    for a, c, w in ((0, 1, 1.0), (0, 2, 3.0), (2, 4, 2.0)):
        e = torch.exp(anchors[a] @ candidates.T / 0.1 + log_share)
        expected += w * -float(torch.log(e[c] / (e[c] + e[is_negative[a]].sum())))
    assert float(found) == pytest.approx(expected / 6.0, rel=1e-5)


def test_known_partners_texts_of_one_item_and_what_the_base_holds_near_are_no_negatives() -> None:
    # 0 - 1 go together; 2 is near 0 for the base model, 3 is not; 4 and 5 are title and description of 0.
    weight = sparse.lil_matrix((6, 6))
    weight[0, 1] = weight[1, 0] = weight[4, 5] = weight[5, 4] = weight[2, 3] = weight[3, 2] = 1.0
    pairs = Pairs(list("abcdef"), np.array([0, 1, 2, 3, 0, 0]), weight.tocsr(), np.ones(4))
    base = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.436], [0.0, 1.0]])
    batch = Batch(np.array([0, 4, 5]), np.array([1, 2, 3]))

    def negatives(margin: float | None, mined: int = 0, scores: torch.Tensor | None = None) -> list[list[int]]:
        judge = Judge(pairs, base, replace(SMALL, margin=margin, mined=mined))
        positives = judge.positives(batch)
        assert list(zip(positives.anchor.tolist(), positives.candidate.tolist(), strict=True)) == [
            (0, 3), (1, 2), (2, 1),
        ]  # fmt: skip
        found = judge.negatives(batch, positives, torch.zeros(3, 6) if scores is None else scores)
        return [batch.candidates[row.numpy()].tolist() for row in found]

    assert negatives(None) == [[2, 3], [2, 3], [2, 3]]
    # A title's partner is its own description: the base model's measure is then that of one item with itself.
    assert negatives(0.95) == [[3], [2, 3], [2, 3]]
    nearest = torch.tensor([[0, 0, 0, 0, 0.1, 0.9]] * 3)
    assert negatives(None, mined=1, scores=nearest) == [[3], [3], [3]]


def test_batches_depend_on_seed_and_step_alone_and_bring_a_titles_partner(shop: tuple[Pairs, ActionLog]) -> None:
    _, log = shop
    words = np.array(TEXTS, dtype=object)
    described = find_pairs(
        log, ItemTexts(words, words + ". a description that is long enough to be told"), pair_settings()
    )
    assert len(described.texts) == 60 * 3
    drawing = Drawing(described, SMALL, 7)
    for step in range(10):
        batch = drawing.batch(step)
        assert np.array_equal(batch.fresh, Drawing(described, SMALL, 7).batch(step).fresh)
        assert not np.intersect1d(batch.fresh, batch.remembered).size
        for text in batch.fresh[batch.fresh >= 60]:
            assert described.weight[text].indices[0] in batch.fresh
    unbought = described.number_of([f"{TEXTS[n]}. a description that is long enough to be told" for n in (9, 19)])
    assert not np.isin(unbought, drawing.known_items).any()
    assert not np.array_equal(drawing.batch(0).fresh, drawing.batch(1).fresh)


# ---- the pairs


def test_pairs_are_what_was_bought_together_next_or_looked_at_before() -> None:
    rows = [
        (0, 0, "purchase", 0.0, 0), (0, 1, "purchase", 0.0, 0),  # one basket
        (0, 2, "purchase", 1.0, 1),  # the next one
        (1, 3, "view", 0.0, 2), (1, 0, "purchase", 0.0, 2),  # looked at, then bought
        (2, 4, "purchase", 0.0, 3), (2, 4, "purchase", 1.0, 4),  # the same twice: no pair
    ]  # fmt: skip
    texts = np.array(["soap", "brush", "towel", "soap", "mat"], dtype=object)
    found = find_pairs(log_of(rows, 3, 5), ItemTexts(texts, texts), pair_settings())
    assert found.texts == ["brush", "mat", "soap", "towel"]
    # Items 0 and 3 have one text, so what was looked at and bought is no pair here.
    together = {frozenset((found.texts[a], found.texts[b])) for a, b in zip(*found.weight.nonzero(), strict=True)}
    assert together == {frozenset(p) for p in (("brush", "soap"), ("brush", "towel"), ("soap", "towel"))}
    other = find_pairs(
        log_of(rows, 3, 5), ItemTexts(texts, np.array(list("abcde"), dtype=object)), pair_settings()
    )
    soap, towel, viewed = (other.number_of([c])[0] for c in "acd")
    assert 0 < other.weight[soap, viewed] < other.weight[soap, towel]
    assert other.weight.sum(axis=1).ravel().tolist()[0] == pytest.approx([1, 1, 1, 1, 0])


def test_only_later_purchases_of_what_a_user_did_not_know_are_asked_for() -> None:
    rows = [
        (0, 0, "purchase", 1.0, 0), (0, 1, "purchase", 5.5, 1), (0, 0, "purchase", 5.6, 1),  # 0 is known already
        (1, 2, "purchase", 5.5, 2),  # nothing before: nothing to go by
        (2, 0, "purchase", 1.0, 3), (2, 2, "purchase", 7.5, 4),  # too late
        (3, 0, "view", 1.0, 5), (3, 3, "purchase", 5.5, 6),  # not to be had any more
    ]  # fmt: skip
    found = later_questions(log_of(rows, 4, 4), 5.0, 7.0, np.array([True, True, True, False]))
    assert (found.targets.users.tolist(), found.targets.item.tolist()) == ([0], [1])
    assert found.history.toarray()[0, 0] > 0 == found.history.toarray()[0, 1]
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [1, 0]], dtype=np.float32)
    assert lists_of(vectors, found, 3).tolist() == [[1, 2, -1]]
    assert mean_ndcg(vectors, found, 3) == 1.0


# ---- the training


@pytest.mark.parametrize("method", ["full", "lora"])
def test_new_items_are_found_better_afterwards(
    tiny: Path, shop: tuple[Pairs, ActionLog], method: str, tmp_path: Path
) -> None:
    of_method = {"full": {}, "lora": {"learning_rate": 1e-2, "rank": 8, "alpha": 16, "epochs": 20.0}}[method]
    settings = replace(SMALL, method=method, **of_method)
    trainer = trainer_of(tiny, shop, settings)
    outcome = trainer.fit()
    assert outcome.best_value > outcome.base_value + 0.1
    before = trainer.encoder.encode(np.arange(60)).numpy()
    trainer.encoder.save(tmp_path / "saved")
    loaded = models.load(tmp_path / "saved")
    after = loaded.encode(shop[0].texts, normalize_embeddings=True)
    assert np.abs(after - before).max() < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_architecture_can_be_trained_and_saved(architecture: str, method: str, tmp_path: Path) -> None:
    texts = [text for text in WORDS if text]
    settings = replace(SMALL, method=method, rank=4, alpha=8)
    encoder = TextEncoder(ARCHITECTURES[architecture](tmp_path / "base"), texts, settings, "cpu")
    optimiser = optimiser_of(encoder, settings)
    everything = np.arange(len(texts))
    before = encoder.encode(everything)
    encoder.model.train()
    for _ in range(3):
        optimiser.zero_grad()
        vectors = encoder.vectors(everything)
        (vectors @ vectors.T).mean().backward()
        optimiser.step()
    after = encoder.encode(everything)
    assert float((after @ after.T).mean()) < float((before @ before.T).mean()) - 0.01
    encoder.save(tmp_path / "saved")
    loaded = models.load(tmp_path / "saved")
    [(places, vectors_again)] = encode_chunks(loaded, texts)
    assert np.abs(vectors_again - after.numpy()[places]).max() < 1e-4


def test_a_batch_that_is_encoded_twice_gives_the_same_gradient(tiny: Path, shop: tuple[Pairs, ActionLog]) -> None:
    found = []
    for held, checkpointing in ((512, False), (0, False), (0, True)):
        settings = replace(SMALL, held_texts=held, gradient_checkpointing=checkpointing)
        trainer = trainer_of(tiny, shop, settings)
        trainer.encoder.model.train()
        base = trainer.encoder.encode(np.arange(60))
        trainer.gradients(trainer.drawing.batch(0), 0, Judge(shop[0], base, settings), base.clone())
        found.append(torch.cat([p.grad.ravel() for p in trainer.encoder.trained().values() if p.grad is not None]))
    assert float(found[0].abs().max()) > 1e-3
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-6)


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    for schedule in ("linear", "cosine"):
        rates = [rate_at(step, 100, replace(SMALL, schedule=schedule)) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == rates[9] == 1.0
        assert rates[9:] == sorted(rates[9:], reverse=True)
        assert rates[-1] < 0.02


def told_values(trainer: Trainer, values: list[float]) -> list[np.ndarray]:
    """Have the exam say these values, one after the other; return a list that the weights it judges go into."""
    told = iter(values)
    states: list[np.ndarray] = []

    def value(_: np.ndarray) -> float:
        states.append(weights(trainer))
        return next(told)

    trainer.exam = Exam(value, np.arange(60))
    return states


def test_training_stops_when_nothing_is_gained_and_leaves_the_best_state(
    tiny: Path, shop: tuple[Pairs, ActionLog]
) -> None:
    trainer = trainer_of(tiny, shop, replace(SMALL, evaluations=6, patience=2, shares=(1.0,)))
    states = told_values(trainer, [0.5, 0.6, 0.4, 0.3])
    outcome = trainer.fit()
    assert outcome.stopped_early
    assert (outcome.base_value, outcome.best_value) == (0.5, 0.6)
    assert np.array_equal(weights(trainer), states[1])


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_part_of_the_way_is_kept_where_it_serves_better(
    tiny: Path, shop: tuple[Pairs, ActionLog], method: str
) -> None:
    trainer = trainer_of(tiny, shop, replace(SMALL, method=method, evaluations=1, shares=(1.0, 0.75, 0.5)))
    start = weights(trainer)
    states = told_values(trainer, [0.5, 0.6, 0.8, 0.7])
    outcome = trainer.fit()
    assert (outcome.best_step, outcome.share, outcome.best_value) == (trainer.steps, 0.75, 0.8)
    assert np.array_equal(weights(trainer), states[2])
    whole = states[1] - start
    assert np.abs(whole).max() > 1e-3
    assert np.allclose(weights(trainer), start + 0.75 * whole, atol=1e-6)


def in_a_process_of_its_own(
    tiny: Path, shop: tuple[Pairs, ActionLog], out: Path, kill_after: int, environment: dict[str, str]
) -> None:
    """Train, write the weights, or be killed before step `kill_after`."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    trainer = trainer_of(tiny, shop)
    trainer.team = Team.gathered("cpu") if environment else Team()
    step = trainer.step

    def counted(judge: Judge, memory: torch.Tensor) -> float:
        if trainer.done == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(judge, memory)

    trainer.step = counted  # type: ignore[method-assign]
    trainer.fit(out / "state.pt" if kill_after >= 0 else None)
    if trainer.team.is_first:
        np.save(out / "weights.npy", weights(trainer))


def start(*arguments: Any) -> BaseProcess:
    """Start the above; the processes share one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sentence_transformers", "accelerate", __name__])
    process = context.Process(target=in_a_process_of_its_own, args=arguments)
    process.start()
    return process


def exit_code(process: BaseProcess) -> int | None:
    process.join(timeout=300)
    return process.exitcode


def test_a_killed_training_goes_on_and_ends_the_same(
    tiny: Path, shop: tuple[Pairs, ActionLog], tmp_path: Path
) -> None:
    whole = trainer_of(tiny, shop)
    whole.fit()
    assert exit_code(start(tiny, shop, tmp_path, 7, {})) == -signal.SIGKILL
    assert not (tmp_path / "weights.npy").exists()
    assert (tmp_path / "state.pt").exists()
    again = trainer_of(tiny, shop)
    assert again.restore(tmp_path / "state.pt", torch.zeros(60, 32))
    assert 0 < again.done < 7
    resumed = trainer_of(tiny, shop)
    resumed.fit(tmp_path / "state.pt")
    assert np.array_equal(weights(resumed), weights(whole))


def test_two_processes_end_with_the_weights_of_one(
    tiny: Path, shop: tuple[Pairs, ActionLog], tmp_path: Path
) -> None:
    # What `accelerate launch` tells each process.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    processes = [
        start(tiny, shop, tmp_path, -1, {**told, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]
    assert [exit_code(process) for process in processes] == [0, 0]
    alone = trainer_of(tiny, shop)
    alone.fit()
    assert np.load(tmp_path / "weights.npy") == pytest.approx(weights(alone), abs=2e-3)
