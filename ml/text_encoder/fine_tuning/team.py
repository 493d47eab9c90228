"""The process at work among those that train together: alone, or one of those of `accelerate launch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import Accelerator


class Team:
    """Each process encodes its share of a batch's chunks; sums over processes give all of them the same."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.accelerator = accelerator
        self.rank = 0 if accelerator is None else accelerator.process_index
        self.size = 1 if accelerator is None else accelerator.num_processes

    @classmethod
    def gathered(cls, device: str) -> Team:
        """Join the processes that were started together."""
        from accelerate import Accelerator

        return cls(Accelerator(cpu=device == "cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def device(self, otherwise: str) -> str:
        """Return this process's device."""
        return otherwise if self.accelerator is None else str(self.accelerator.device)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.accelerator is None or self.size == 1:
            return values
        return self.accelerator.reduce(values, reduction="sum")

    def agreed(self, value: float, device: torch.device) -> float:
        """Return the first process's value: what was timed, and so differs, must be the same for all."""
        own = torch.tensor([value if self.is_first else 0.0], dtype=torch.float64, device=device)
        return float(self.sum(own))
