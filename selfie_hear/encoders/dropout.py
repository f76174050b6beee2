"""Dropout whose mask costs little on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout with the rate rounded to 1/256, so that one 64-bit draw serves eight values on a CPU.

    The library draws one number per value on one core, which took a tenth of a training step.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.kept = round(256 * (1.0 - rate))  # of 256

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.kept == 256:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, 1.0 - self.kept / 256, training=True)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        mask = words.view(torch.uint8)[: x.numel()].view(x.shape) < self.kept
        return x * mask * (256 / self.kept)
