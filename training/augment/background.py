"""Another clip of the batch as background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import uniform


class Mix(NamedTuple):
    """Background: `(B,)` index of the other clip and `(B,)` its share."""

    other: Tensor
    share: Tensor


@dataclass(frozen=True)
class BackgroundMix:
    """Mix in another clip of the batch as background, in the linear mel domain: (1 - l) x + l x', l ~ U(0, share)."""

    share: float = 0.2

    def draw(self, count: int, generator: torch.Generator) -> Mix:
        order = torch.randperm(count, generator=generator, device=generator.device)
        other = torch.empty_like(order)
        other[order] = order.roll(1)  # one cycle through the batch: nobody is their own background
        return Mix(other, uniform(count, 0.0, self.share, generator))

    def apply(self, mel: Tensor, mix: Mix, everyone: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to the same shape; `everyone` holds the batch of all processes."""
        share = mix.share[:, None, None, None]
        return torch.logaddexp(mel + torch.log1p(-share), everyone[mix.other] + share.log())
