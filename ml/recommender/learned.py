"""The learned recommender: dials of the blend, sequence model, its weight, and ranker; as files, and at work.

Knowledge of items (counts, trends, text neighbours) is not part of it: that is learned anew each day, and so are
the users' histories. An item that the sequence model has not met is served through its text.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from ml.recommender.candidates import FEATURES, NEWNESS, Candidates, describe
from ml.recommender.ranker import Ranker, ordered
from ml.recommender.recommend import Pool, Shard
from ml.recommender.sequence_model import SequenceModel, SequenceSettings
from ml.recommender.settings import LIST_LENGTH, BlendSettings
from ml.recommender.sources import Scores, Sources
from qianmian.step import StepError

_MODEL, _SEQUENCE, _RANKER = "model.json", "sequence.pt", "ranker.txt"


@dataclass(frozen=True)
class Listed(Shard):
    """A shard's pools or lists, exp(score), and the `candidates` they were chosen from by what `sources` say."""

    sources: Scores
    candidates: Candidates


@dataclass(frozen=True)
class LearnedModel:
    """What training leaves behind.

    `item_ids` names the rows of the sequence model's own item vectors; `weight` is its share in the mixture;
    `new_item_lift` is added to the score of an item that nobody knows, less to one that a few do.
    """

    settings: BlendSettings
    item_ids: np.ndarray
    sequence: SequenceModel | None
    weight: float
    ranker: Ranker | None
    new_item_lift: float

    def sequence_on(self, item_ids: np.ndarray, text: np.ndarray) -> SequenceModel | None:
        """Return the sequence model over another catalogue: what it has not met has no vector of its own.

        Args:
            item_ids: of the catalogue, sorted.
            text: their text vectors, of the text model that it was trained with.

        """
        if self.sequence is None:
            return None
        row_of = {name: row for row, name in enumerate(self.item_ids)}
        rows = np.array([row_of.get(name, -1) for name in item_ids], dtype=np.int64)
        was_known = self.sequence.is_known[:, 0].numpy() > 0
        is_known = (rows >= 0) & was_known[np.maximum(rows, 0)]
        model = SequenceModel(
            torch.from_numpy(np.asarray(text, dtype=np.float32)),
            torch.from_numpy(is_known),
            self.sequence.settings,
        )
        own = self.sequence.own.weight.detach()[np.maximum(rows, 0)]
        model.load_state_dict({**self.sequence.state_dict(), "own.weight": own})
        return model.eval()

    def score(self, candidates: Candidates) -> np.ndarray:
        """Return users x candidates: the ranker's score, or the mixture's where there is none, with the lift."""
        scores = candidates.scores if self.ranker is None else self.ranker.scores(candidates)
        return np.asarray(scores + self.new_item_lift * candidates.features[:, :, NEWNESS])

    def listed(self, sources: Sources, scores: Scores, pool: Pool) -> Listed:
        """Return the pools of a shard of users, with the candidates that they were chosen from."""
        candidates = describe(sources, scores, self.weight, pool=pool)
        items, values = pool.cut(*ordered(candidates, self.score(candidates), candidates.items.shape[1]))
        values = np.where(items >= 0, np.exp(values), -np.inf)
        return Listed(scores.users, items, values, scores.history, scores, candidates)

    def lists(self, sources: Sources, users: np.ndarray, length: int = LIST_LENGTH) -> np.ndarray:
        """Return users x length item positions, best first, -1 past a list's end."""
        found = [self.listed(sources, scores, Pool(length)).items for scores in sources.scores(users)]
        return np.concatenate(found) if found else np.zeros((0, length), dtype=np.int64)

    def save(self, folder: Path) -> None:
        """Write everything as files into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "settings": asdict(self.settings),
            "weight": self.weight,
            "new_item_lift": self.new_item_lift,
            "features": list(FEATURES),
            "sequence": None if self.sequence is None else asdict(self.sequence.settings),
            "item_ids": self.item_ids.tolist(),
        }
        (folder / _MODEL).write_text(json.dumps(about, ensure_ascii=False))
        if self.sequence is not None:
            state = {name: value.contiguous() for name, value in self.sequence.state_dict().items()}
            torch.save({**state, "is_known": self.sequence.is_known}, folder / _SEQUENCE)
        if self.ranker is not None:
            (folder / _RANKER).write_text(self.ranker.to_text())

    @classmethod
    def load(cls, folder: Path) -> LearnedModel:
        """Read what `save` wrote.

        Raises:
            StepError: the ranker wants features that this version does not make.

        """
        about = json.loads((folder / _MODEL).read_text())
        if about["features"] != list(FEATURES):
            raise StepError(
                f"The ranker in {folder} was trained on other features than this version makes.", "Train again."
            )
        sequence = None
        if about["sequence"] is not None:
            state = torch.load(folder / _SEQUENCE, weights_only=True)
            is_known = state.pop("is_known")
            text = torch.zeros(len(is_known), state["from_text.weight"].shape[1])
            sequence = SequenceModel(text, is_known[:, 0], SequenceSettings(**about["sequence"]))
            sequence.load_state_dict(state)
            sequence.eval()
        ranker = folder / _RANKER
        return cls(
            BlendSettings(**about["settings"]),
            np.array(about["item_ids"], dtype=object),
            sequence,
            about["weight"],
            Ranker.from_text(ranker.read_text()) if ranker.is_file() else None,
            about["new_item_lift"],
        )
