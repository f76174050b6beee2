"""Sound played backwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance


class Direction(NamedTuple):
    """Whether it is played backwards, `(B,)`."""

    backwards: Tensor


@dataclass(frozen=True)
class Flip:
    """Play backwards with some probability.

    Lin (2022, section 2.1) flips "the signal" and does not say how; ESResNet (Guzhov et al. 2020), whose encoder he
    takes, inverts time with probability 0.5. Another sign would change nothing in a power spectrogram.
    """

    probability: float = 0.5

    def draw(self, count: int, generator: torch.Generator) -> Direction:
        return Direction(chance(count, self.probability, generator))

    def apply(self, audio: Tensor, direction: Direction) -> Tensor:
        """`(B, N)` to the same shape."""
        return torch.where(direction.backwards[:, None], audio.flip(1), audio)
