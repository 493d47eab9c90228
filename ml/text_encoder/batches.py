"""Texts to batches of tokens: tokenised in bulk once, like lengths together, cut by a budget of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ml.text_encoder.models import Kind, prompt_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOKENISED_AT_ONCE = 1024  # texts

Features = dict[str, Any]


class Tokens:
    """Texts as the model wants them, one after the other, without padding.

    What a text becomes is left to the model's own `preprocess` (its prompt, its chat template, its special
    tokens), so that every architecture gets what sentence-transformers would give it; only the padding, which
    would be that of the whole block, is taken off here and put back batch by batch, on the side it was.
    """

    def __init__(self, model: SentenceTransformer, texts: list[str], kind: Kind = "document") -> None:
        self.model, self.texts = model, texts
        self.how = {"prompt": prompt_of(model, kind), "task": kind}
        self.lengths = np.array([len(text) for text in texts], dtype=np.int64)
        self.shared: Features = {}  # not by token: the modality, the prompt's length
        self.values: dict[str, list[np.ndarray]] = {}  # by token: a list of the texts' arrays each
        self.padding: dict[str, int] = {}
        self.pads_left = False
        if not texts:
            return
        by_characters = np.argsort(self.lengths, kind="stable")
        for begin in range(0, len(texts), TOKENISED_AT_ONCE):
            if not self._add(by_characters[begin : begin + TOKENISED_AT_ONCE]):
                return
        tokenizer = model.tokenizer
        self.padding = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
        self.pads_left = tokenizer.padding_side == "left"

    def _add(self, places: np.ndarray) -> bool:
        """Tokenise some texts; return whether the model takes padded tokens (one of bags of words does not)."""
        features = self.model.preprocess([self.texts[i] for i in places], **self.how)
        mask = features.pop("attention_mask", None)
        if mask is None or "input_ids" not in features:
            return False
        kept = mask.numpy().astype(bool)
        for name, value in features.items():
            if isinstance(value, torch.Tensor) and value.shape == mask.shape:
                rows = self.values.setdefault(name, [np.empty(0)] * len(self.texts))
                for place, row, own in zip(places, value.numpy().astype(np.int32), kept, strict=True):
                    rows[place] = row[own]
            else:
                self.shared[name] = value
        self.lengths[places] = kept.sum(1)
        return True

    def batch(self, places: np.ndarray) -> Features:
        """Return the model's input for the texts at `places`: texts x longest of them, int64."""
        if not self.values:
            features: Features = self.model.preprocess([self.texts[i] for i in places], **self.how)
            return features
        longest = int(self.lengths[places].max())
        own = np.arange(longest) < self.lengths[places, None]
        if self.pads_left:
            own = own[:, ::-1]
        features = {**self.shared, "attention_mask": torch.from_numpy(own.astype(np.int64))}
        for name, rows in self.values.items():
            padded = np.full(own.shape, self.padding.get(name, 0), dtype=np.int64)
            padded[own] = np.concatenate([rows[i] for i in places])
            features[name] = torch.from_numpy(padded)
        return features


def plan(lengths: np.ndarray, texts: list[str], token_budget: int, chunk_texts: int) -> list[list[np.ndarray]]:
    """Cut texts into chunks of batches, longest first.

    What is asked of the memory is most at first, and the order follows from lengths and texts alone: the same
    texts make the same batches, in whatever order they come.

    Args:
        lengths: tokens of each text.
        texts: decide among those of one length.
        token_budget: tokens of a batch with its padding, unless one text alone has more.
        chunk_texts: texts after which a chunk ends with the batch at hand.

    Returns:
        For each chunk its batches, each an array of positions.

    """
    order = sorted(range(len(texts)), key=lambda i: (-lengths[i], texts[i]))
    chunks: list[list[np.ndarray]] = []
    in_chunk = chunk_texts
    begin = 0
    while begin < len(order):
        size = max(1, token_budget // max(1, int(lengths[order[begin]])))
        batch = np.array(order[begin : begin + size])
        if in_chunk >= chunk_texts:
            chunks.append([])
            in_chunk = 0
        chunks[-1].append(batch)
        in_chunk += len(batch)
        begin += size
    return chunks
