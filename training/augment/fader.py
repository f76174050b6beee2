"""A linear ramp of gain over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import uniform


class Ramp(NamedTuple):
    """Gain at the start and at the end of the clip, each `(B,)`, in log-mel units."""

    start: Tensor
    end: Tensor


@dataclass(frozen=True)
class LinearFader:
    """A linear ramp of gain over time: fade in or out, louder or softer; ends ~ U(-gain, gain) in log-mel units."""

    gain: float = 1.0

    def draw(self, count: int, generator: torch.Generator) -> Ramp:
        start, end = (uniform(count, -self.gain, self.gain, generator) for _ in range(2))
        return Ramp(start, end)

    def apply(self, mel: Tensor, ramp: Ramp) -> Tensor:
        """`(B, 1, F, T)` to the same shape."""
        time = torch.linspace(0.0, 1.0, mel.shape[3], device=mel.device)
        return mel + (ramp.start[:, None] + (ramp.end - ramp.start)[:, None] * time)[:, None, None, :]
