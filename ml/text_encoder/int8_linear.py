"""A linear layer in 8-bit integers for processors that multiply these fast (AVX-512 VNNI, AMX).

Weights are quantised once, symmetrically, a scale for each output; activations while it runs, a scale for each
token (LLM.int8(), Dettmers et al. 2022, section 2.1, without the outliers' part). One scale for a whole batch,
as torch's own dynamic quantisation has it, costs most of the quality (mean cosine 0.94 instead of 0.998 on
MiniLM) and makes a text's vector depend on its batch-mates; here sums are exact integers and scales a token's own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LARGEST = 127


class Int8Linear(nn.Module):
    """Stands in for an `nn.Linear` in inference on a CPU."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / LARGEST
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8).t())
        self.register_buffer("scale", scale)
        bias = torch.zeros_like(scale) if linear.bias is None else linear.bias.detach().float()
        self.register_buffer("bias", bias)

    def forward(self, values: Tensor) -> Tensor:
        """Return values @ weight + bias; float32, ... x inputs to ... x outputs."""
        rows = values.reshape(-1, values.shape[-1])
        step = rows.abs().amax(1, keepdim=True).clamp_min_(1e-12).div_(LARGEST)
        sums = torch._int_mm((rows / step).round_().to(torch.int8), self.weight)
        product = sums.to(torch.float32).mul_(step)
        torch.addcmul(self.bias, product, self.scale, out=product)
        return product.view(*values.shape[:-1], -1)


def quantise_linears(module: nn.Module) -> None:
    """Replace every `nn.Linear` within `module`."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            quantise_linears(child)
