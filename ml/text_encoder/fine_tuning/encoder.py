"""A sentence-transformers model in training: texts tokenised once, whole or with low-rank additions (LoRA)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ml.text_encoder import models
from ml.text_encoder.batches import Tokens
from ml.text_encoder.fine_tuning.settings import FineTuning

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

LORA_DROPOUT = 0.05
TIMED_TEXTS = 64
#: Texts of a pass without training: on a CPU its intermediate values have to stay in the caches.
ENCODED_AT_ONCE = {"cpu": 16, "cuda": 512}


class TextEncoder:
    """The model and the texts it is trained on, by number."""

    def __init__(self, folder: Path, texts: list[str], settings: FineTuning, device: str, seed: int = 0) -> None:
        """Load the model and make it ready to be trained.

        Args:
            folder: a sentence-transformers model.
            texts: all texts that will be asked for.
            settings: method, lengths, precision.
            device: cpu or cuda.
            seed: of the added matrices.

        """
        self.model: SentenceTransformer = models.load(folder).to(device)
        self.settings = settings
        self.device = torch.device(device)
        self.precision = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        whole_length = self.model.max_seq_length
        self.model.max_seq_length = min(int(whole_length or settings.max_tokens), settings.max_tokens)
        self.tokens = Tokens(self.model, texts)
        self.model.max_seq_length = whole_length
        self.lengths = self.tokens.lengths
        torch.manual_seed(seed)
        self.adapted: Any = None
        network: Any = self.model[0].auto_model
        if settings.method == "lora":
            from peft import LoraConfig, get_peft_model

            config = LoraConfig(
                r=settings.rank, lora_alpha=settings.alpha, lora_dropout=LORA_DROPOUT, target_modules="all-linear"
            )  # fmt: skip
            self.adapted = get_peft_model(network, config)
        if settings.gradient_checkpointing:
            network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if settings.precision == "auto":
            self.precision = self.faster_precision()

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """Return the weights that training moves, by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the weights that training moves."""
        return {name: p.detach().cpu().clone() for name, p in self.trained().items()}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Put weights back."""
        with torch.no_grad():
            for name, parameter in self.trained().items():
                parameter.copy_(state[name])

    def vectors(self, numbers: np.ndarray) -> Tensor:
        """Return the vectors of some texts, in one pass: texts x dimensions, float32, of length 1."""
        inputs = {
            name: value.to(self.device) if isinstance(value, Tensor) else value
            for name, value in self.tokens.batch(numbers).items()
        }
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            found = self.model(inputs)["sentence_embedding"]
        return functional.normalize(found.float(), dim=1)

    def chunks(self, numbers: np.ndarray, size: int) -> list[np.ndarray]:
        """Split positions in `numbers` into chunks of texts of like length: little of a pass is padding."""
        order = np.argsort(self.lengths[numbers], kind="stable")
        return np.array_split(order, max(1, -(-len(order) // size)))

    def encode(self, numbers: np.ndarray) -> Tensor:
        """Return vectors as `vectors` does, without training: any number of texts, nothing dropped out."""
        found: Tensor | None = None
        with torch.inference_mode(), self.evaluating():
            for chunk in self.chunks(numbers, ENCODED_AT_ONCE[self.device.type]):
                vectors = self.vectors(numbers[chunk])
                if found is None:
                    found = torch.zeros((len(numbers), vectors.shape[1]), device=self.device)
                found[torch.from_numpy(chunk)] = vectors
        assert found is not None
        return found.clone()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch dropout off for a while."""
        was_training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(was_training)

    def faster_precision(self) -> torch.dtype:
        """Time a pass forth and back in float32 and bfloat16, return the faster; on a GPU bfloat16 if it can."""
        if self.device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        some = np.argsort(self.lengths, kind="stable")[len(self.lengths) // 2 :][:TIMED_TEXTS]
        seconds: dict[torch.dtype, float] = {}
        if not len(some):
            return torch.float32
        for precision in (torch.float32, torch.bfloat16, torch.float32, torch.bfloat16):
            self.precision = precision
            began = time.perf_counter()
            self.vectors(some).sum().backward()
            took = time.perf_counter() - began
            seconds[precision] = min(took, seconds.get(precision, took))
        self.model.zero_grad()
        fastest = min(seconds, key=lambda one: seconds[one])
        log.info("%d texts forth and back: %s; %s is used", len(some),
                 {str(p): f"{s:.2f} s" for p, s in seconds.items()}, fastest)  # fmt: skip
        return fastest

    def save(self, folder: Path) -> None:
        """Write the model as a plain sentence-transformers folder, additions folded into the weights."""
        if self.adapted is not None:
            self.adapted.merge_and_unload()
            self.adapted = None
        self.model.save(str(folder), create_model_card=False)
