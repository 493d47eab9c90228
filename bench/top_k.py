"""Rate and memory of ml.recommender.top_k on random data, beside the machine's ceiling and other libraries.

Vectors are random normal float32 values, users made block by block, which the clock leaves out. Every contender
runs in a process of its own, because a high-water mark of memory never falls; they take turns, a repeat each,
and the median of three after a warm-up counts. Ceilings are torch's product of two square matrices (in bfloat16
where ours begins with it) and, on a GPU, its copy of a large one. Ends with one line of JSON.

    python -m bench.top_k [--users N] [--items N] [--barred N] [--device cpu|cuda] [--threads N] [--no-rough]
                          [--peers] [--grow]

Each user may not get --barred random items, as those already bought; 0 measures the bare search. --peers adds
implicit.cpu.topk, called as implicit's recommend() does, and numpy's product with argpartition. Both get the
same blocks and the same threads, and every user's list must be the same as ours but for the rounding of
float32. --no-rough keeps ours from beginning with bfloat16, as it does where the processor multiplies that.
--grow measures ours, a repeat each, at 10,000, 100,000 and 1,000,000 users.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 8192  # users made at once
REPEATS = 3
GROWTH = (10_000, 100_000, 1_000_000)
CUBE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product is the ceiling
#: Of a score, what two libraries' float32 sums may differ by, relative to the vectors' lengths.
ROUNDING = 1e-6

Lists = tuple[np.ndarray, np.ndarray]  # users x k: positions, scores
Barred = tuple[np.ndarray, np.ndarray] | None  # CSR: indptr, indices
Contender = Callable[["Task", np.ndarray, Iterable[np.ndarray], Barred], Iterator[Lists]]


@dataclass(frozen=True)
class Task:
    """What all contenders are given."""

    users: int
    items: int
    dimensions: int
    k: int
    barred: int
    device: str
    rough: bool
    threads: int
    seed: int

    def catalogue(self) -> np.ndarray:
        """Return the items' vectors."""
        rng = np.random.default_rng([self.seed, 0])
        return rng.standard_normal((self.items, self.dimensions), dtype=np.float32)

    def blocks(self) -> Iterator[np.ndarray]:
        """Make the users' vectors, always the same."""
        rng = np.random.default_rng([self.seed, 1])
        for first in range(0, self.users, BLOCK):
            size = (min(BLOCK, self.users - first), self.dimensions)
            yield rng.standard_normal(size, dtype=np.float32)

    def barred_items(self) -> Barred:
        """Return random items that each user may not get, a few of them twice."""
        if not self.barred:
            return None
        rng = np.random.default_rng([self.seed, 2])
        indices = rng.integers(0, self.items, self.users * self.barred, dtype=np.int32)
        return np.arange(self.users + 1) * self.barred, indices


class Stopwatch:
    """Pass an iterator's values on and count the seconds that making them took."""

    def __init__(self, values: Iterator[np.ndarray]) -> None:
        self.values, self.seconds = values, 0.0

    def __iter__(self) -> Stopwatch:
        return self

    def __next__(self) -> np.ndarray:
        began = time.perf_counter()
        try:
            return next(self.values)
        finally:
            self.seconds += time.perf_counter() - began


def ours(task: Task, items: np.ndarray, blocks: Iterable[np.ndarray], barred: Barred) -> Iterator[Lists]:
    from ml.recommender.top_k import top_k

    for _, positions, scores in top_k(blocks, items, task.k, barred=barred, device=task.device, rough=task.rough):
        yield positions, scores


def implicit_topk(task: Task, items: np.ndarray, blocks: Iterable[np.ndarray], barred: Barred) -> Iterator[Lists]:
    from implicit.cpu.topk import topk
    from scipy.sparse import csr_matrix

    liked = None
    if barred is not None:
        indptr, indices = barred
        ones = np.ones(len(indices), dtype=np.int8)
        liked = csr_matrix((ones, indices, indptr), (task.users, task.items))
    first = 0
    for block in blocks:
        chosen = None if liked is None else liked[first : first + len(block)]
        yield topk(items, block, task.k, filter_query_items=chosen, num_threads=task.threads)
        first += len(block)


def numpy_argpartition(
    task: Task, items: np.ndarray, blocks: Iterable[np.ndarray], barred: Barred
) -> Iterator[Lists]:
    first = 0
    for block in blocks:
        for users in np.array_split(block, -(-len(block) // 256)):
            scores = users @ items.T
            if barred is not None:
                own = barred[1][first * task.barred : (first + len(users)) * task.barred]
                scores[np.arange(len(users)).repeat(task.barred), own] = -np.inf
            found = np.argpartition(scores, -task.k, axis=1)[:, -task.k :]
            best = np.take_along_axis(scores, found, axis=1)
            order = np.argsort(-best, axis=1)
            yield np.take_along_axis(found, order, axis=1), np.take_along_axis(best, order, axis=1)
            first += len(users)


CONTENDERS: dict[str, Contender] = {"ours": ours, "implicit": implicit_topk, "numpy": numpy_argpartition}


def high_water(kind: str = "VmHWM") -> int:
    """Return bytes of memory that this process held at most (VmHWM) or holds now (VmRSS)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(kind + ":"))


def ceilings(task: Task) -> dict[str, float]:
    """Measure products of squares in flop/s and, on a GPU, copies in bytes/s (read and written)."""
    import torch

    def best_of(step: Callable[[], object]) -> float:
        seconds = []
        for _ in range(2 + REPEATS):
            began = time.perf_counter()
            step()
            if task.device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        return min(seconds)

    side = CUBE[task.device]
    square = torch.randn(side, side, device=task.device)
    square = square.bfloat16() if task.rough else square
    out = torch.empty_like(square)
    figures = {"flop_per_second": 2 * side**3 / best_of(lambda: torch.mm(square, square, out=out))}
    if task.device == "cuda":
        figures["bytes_per_second"] = 2 * 4 * side**2 / best_of(lambda: out.copy_(square))
    return figures


def next_order(pipe: Connection) -> str:
    """Wait for an order; return nothing when there will be none."""
    try:
        return str(pipe.recv())
    except EOFError:
        return ""


def child(task: Task, name: str, pipe: Connection) -> None:
    """Do what comes through the pipe until it is closed; see `processes`."""
    if name == "implicit":
        import implicit  # noqa: F401 - what comes with it is not memory of the lists
    else:
        import torch

        torch.set_num_threads(task.threads)
    items, barred = task.catalogue(), task.barred_items()
    before = high_water("VmRSS")
    while order := next_order(pipe):
        if order == "lists":
            found = list(CONTENDERS[name](task, items, task.blocks(), barred))
            pipe.send(tuple(np.concatenate(part) for part in zip(*found, strict=True)))
        elif order == "ceilings":
            pipe.send(ceilings(task))
        elif order == "memory":
            pipe.send(high_water() - before)
        else:
            blocks = Stopwatch(task.blocks())
            began = time.perf_counter()
            for _ in CONTENDERS[name](task, items, blocks, barred):
                pass
            pipe.send(time.perf_counter() - began - blocks.seconds)


@contextmanager
def processes(task: Task, names: Iterable[str]) -> Iterator[dict[str, Callable[[str], Any]]]:
    """Start a process for each contender; yield what sends it an order and waits for the answer.

    Orders: "time" (seconds of one repeat), "memory" (bytes above the start, at most so far), "lists" (all users'
    positions and scores), "ceilings" (of this machine).
    """
    # Libraries read these when they are first imported, so children are spawned, not forked. implicit itself
    # demands one BLAS thread for each of its own.
    counts = {"implicit": ("1", str(task.threads))}
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    started = []
    kept = {key: os.environ.get(key) for key in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}

    def ask(name: str, order: str) -> Any:
        pipes[name].send(order)
        return pipes[name].recv()

    try:
        for name in names:
            blas, omp = counts.get(name, (str(task.threads),) * 2)
            os.environ.update(OPENBLAS_NUM_THREADS=blas, OMP_NUM_THREADS=omp)
            pipes[name], far = context.Pipe()
            started.append(context.Process(target=child, args=(task, name, far), daemon=True))
            started[-1].start()
            far.close()  # so that a child that dies ends the wait for its answer
        yield {name: lambda order, name=name: ask(name, order) for name in pipes}  # type: ignore[misc]
    finally:
        for key, value in kept.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value
        for pipe, process in zip(pipes.values(), started, strict=True):
            pipe.close()
            process.join()


def measure(
    task: Task, names: Iterable[str], repeats: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Let contenders take turns; compare their lists. Return each one's users/second and bytes, and ceilings."""
    with processes(task, names) as asks:
        seconds: dict[str, list[float]] = {name: [] for name in asks}
        for repeat in range(1 + repeats):
            for name, ask in asks.items():
                seconds[name].append(ask("time"))
                logging.info("%s, %s users: %.2f s%s", name, f"{task.users:,}", seconds[name][-1],
                             "" if repeat else " (warm-up)")  # fmt: skip
        figures = {
            name: {
                "users_per_second": round(task.users / statistics.median(seconds[name][1:])),
                "peak_bytes": ask("memory"),
            }
            for name, ask in asks.items()
        }
        reached = asks["ours"]("ceilings")
        if len(asks) > 1:
            expected = asks["ours"]("lists")
            for name in set(asks) - {"ours"}:
                differing = check_same(expected, asks[name]("lists"), task.dimensions)
                figures[name]["other_items"] = differing
                logging.info("%s: the same lists; %d of the items are others with equal scores", name, differing)
    return figures, reached


def check_same(expected: Lists, found: Lists, dimensions: int) -> int:
    """Assert that lists have the same scores but for rounding; return how many places hold another item.

    Vectors are random normal, so their lengths are about the root of the dimensions. Where an item differs, its
    score may not differ by more than rounding from the one expected at its place.
    """
    tolerance = ROUNDING * dimensions
    assert expected[0].shape == found[0].shape
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=tolerance)
    other = expected[0] != found[0]
    # Two items that changed places have a neighbour in score; else the item stands at the end of the list.
    near = np.abs(np.diff(expected[1], axis=1, append=expected[1][:, -1:])) <= 2 * tolerance
    near[:, 1:] |= near[:, :-1]
    assert near[other].all()
    return int(other.sum())


def main() -> None:
    """Measure and print the figures."""
    from ml.recommender.top_k import multiplies_bfloat16  # late, as the peers' processes shall not hold torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"users": 100_000, "items": 20_000, "dimensions": 64, "k": 20, "barred": 20, "seed": 0}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value, help="(default: %(default)s)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where ours computes")
    parser.add_argument(
        "--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        help="of every contender (default: OMP_NUM_THREADS, or all cores)",
    )  # fmt: skip
    parser.add_argument("--no-rough", dest="rough", action="store_false", help="ours without bfloat16")
    parser.add_argument("--peers", action="store_true", help="measure implicit and numpy too")
    parser.add_argument("--grow", action="store_true", help="measure ours with ever more users")
    args = parser.parse_args()
    args.rough = args.rough and multiplies_bfloat16(args.device)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = vars(args)
    task = Task(**{field.name: options[field.name] for field in fields(Task)})
    figures, reached = measure(task, CONTENDERS if args.peers else ["ours"], REPEATS)
    rate = figures["ours"]["users_per_second"]
    shares = {"product": rate * 2 * task.items * task.dimensions / reached["flop_per_second"]}
    if "bytes_per_second" in reached:  # every score is written once and read once
        shares["memory"] = rate * 2 * 4 * task.items / reached["bytes_per_second"]
    for name, figure in figures.items():
        logging.info(
            "%s: %s users/s, %.0f MB", name, f"{figure['users_per_second']:,}", figure["peak_bytes"] / 1e6
        )
    ratios = {name: round(rate / figures[name]["users_per_second"], 2) for name in figures if name != "ours"}
    if ratios:
        logging.info("ours / theirs, users/s: %s", ratios)
    logging.info("share of the ceiling: %s", shares)
    growth = {}
    for n_users in GROWTH if args.grow else ():
        growth[n_users] = measure(replace(task, users=n_users), ["ours"], repeats=1)[0]["ours"]
        logging.info("%s users: %s", f"{n_users:,}", growth[n_users])
    print(
        json.dumps(
            {
                "bench": "top_k",
                "data": "random",
                **options,
                "figures": figures,
                "ratios": ratios,
                "ceilings": {name: round(value) for name, value in reached.items()},
                "shares": {name: round(value, 3) for name, value in shares.items()},
                "growth": growth,
                "versions": {name: version(name) for name in ("torch", "numpy", *(["implicit"] * args.peers))},
            }
        )
    )


if __name__ == "__main__":
    main()
