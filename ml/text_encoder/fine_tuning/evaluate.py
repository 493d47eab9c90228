"""How good item vectors are by themselves: do they find what users chose later from what they had before?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from ml.metrics.ranking import hits_at, ndcg
from ml.recommender.blend import top_items
from ml.recommender.dataset import ActionLog
from ml.recommender.history import build_history
from ml.recommender.settings import BlendSettings
from ml.recommender.snapshots import buyers_with_a_past
from ml.recommender.tune import Targets

LIST_LENGTH = 20
BLOCK_CELLS = 8_000_000  # users x items scored at once: 64 MB
MAX_USERS = 3_000
TEXT_POWER = BlendSettings().text_power


@dataclass(frozen=True)
class Questions:
    """Users, what they had chosen (users x items, faded by age), what they chose then, what may be found.

    The rows of `history` and `is_barred` (users x items, bool) are those of `targets.users`.
    """

    history: sparse.csr_matrix
    is_barred: sparse.csr_matrix
    targets: Targets
    is_candidate: np.ndarray

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.targets.users)

    @property
    def items(self) -> np.ndarray:
        """Return the items whose vectors the answers depend on, sorted."""
        return np.union1d(self.history.indices, np.flatnonzero(self.is_candidate))


def ask(
    log: ActionLog, as_of: float, targets: Targets, is_candidate: np.ndarray, settings: BlendSettings
) -> Questions:
    """Put users' histories before `as_of` (days) beside what they chose then."""
    if not len(targets.users):
        nobody = sparse.csr_matrix((0, log.n_items))
        return Questions(nobody, nobody, targets, is_candidate)
    history = build_history(log.before(as_of), as_of, replace(settings, return_penalty=0.0))
    interest = history.matrix(history.interest)[targets.users]
    return Questions(
        interest, history.matrix(np.ones(len(history.item), dtype=bool))[targets.users], targets, is_candidate
    )


def later_questions(log: ActionLog, begin: float, end: float, is_candidate: np.ndarray) -> Questions:
    """Ask for what users bought from `begin` up to `end` (days) and had not acted on before.

    Items that a user knows already are no test of the text: they need not be found.
    """
    targets = buyers_with_a_past(log, begin, end)
    before = log.before(begin)
    acted = np.unique(before.user * log.n_items + before.item)
    is_new = ~np.isin(targets.users[targets.row] * log.n_items + targets.item, acted)
    is_new &= is_candidate[targets.item]
    users, row = np.unique(targets.row[is_new], return_inverse=True)
    fresh = Targets(targets.users[users], row, targets.item[is_new]).some(MAX_USERS)
    return ask(log, begin, fresh, is_candidate, BlendSettings())


def sampled(questions: Questions, users: int, items: int, history: int, seed: int = 0) -> Questions:
    """Return a cheaper form of the questions, to be asked again and again while training.

    Args:
        questions: to choose from.
        users: at most so many are asked for, evenly spaced.
        items: at most so many candidates, drawn by seed, beside what the users chose.
        history: what each user had is cut to this many items, the ones that weigh most.
        seed: of the draw.

    """
    targets = questions.targets.some(users)
    rows = np.searchsorted(questions.targets.users, targets.users)
    past = questions.history[rows].tolil()
    for row, (columns, values) in enumerate(zip(past.rows, past.data, strict=True)):
        kept = sorted(np.argsort(values, kind="stable")[-history:])
        past.rows[row], past.data[row] = [columns[n] for n in kept], [values[n] for n in kept]
    candidates = np.flatnonzero(questions.is_candidate)
    drawn = np.random.default_rng(seed).permutation(candidates)[:items]
    is_candidate = np.zeros(len(questions.is_candidate), dtype=bool)
    is_candidate[np.union1d(drawn, targets.item)] = True
    return Questions(past.tocsr(), questions.is_barred[rows], targets, is_candidate)


def lists_of(
    vectors: np.ndarray, questions: Questions, length: int = LIST_LENGTH, power: float = TEXT_POWER
) -> np.ndarray:
    """Return for each user the items most like the history, best first.

    The score is cosine^power summed over the faded history: how the blend reads text vectors, but for its cut to
    the nearest neighbours.

    Args:
        vectors: items x dimensions, float32, of length 1.
        questions: whom to answer.
        length: of the lists.
        power: of the cosine; negative cosines count as 0.

    """
    n_items = len(vectors)
    rows = max(1, BLOCK_CELLS // n_items)
    found = [np.full((0, length), -1, dtype=np.int64)]
    for begin in range(0, len(questions), rows):
        history = questions.history[begin : begin + rows]
        past = np.unique(history.indices)
        scores = np.zeros(history.shape)
        for first in range(0, len(past), rows):
            some = past[first : first + rows]
            # Rounded, so that the last bits, which depend on the machine, cannot decide who stands first.
            alike = np.round(np.maximum(vectors[some] @ vectors.T, 0.0), 5) ** power
            scores += history[:, some] @ alike
        np.round(scores, 6, out=scores)
        scores[:, ~questions.is_candidate] = -np.inf
        barred = questions.is_barred[begin : begin + rows].tocoo()
        scores[barred.row, barred.col] = -np.inf
        found.append(top_items(scores, length)[0])
    return np.concatenate(found)


def mean_ndcg(vectors: np.ndarray, questions: Questions, k: int = LIST_LENGTH, power: float = TEXT_POWER) -> float:
    """Return NDCG@k of the lists, averaged over users."""
    targets = questions.targets
    hits = hits_at(lists_of(vectors, questions, k, power), targets.row, targets.item, len(vectors))
    return float(ndcg(hits, targets.per_user, k).mean())
