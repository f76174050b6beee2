"""Time stretch: faster or slower, at the same pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance, uniform
from training.augment.vocoder import phase_vocoder


class Speed(NamedTuple):
    """How many times as fast, `(B,)`; exactly 1 where the sound stays as it is."""

    rate: Tensor


@dataclass(frozen=True)
class TimeStretch:
    """Play at 1 - most to 1 + most times the speed, with some probability.

    Augmented contrastive learning (Emami et al., section 2.1): probability 0.5, factor 0.1, before segments are
    chosen. So what is stretched is longer than a crop (`longer_by`), and the crop is cut from the middle after that:
    it lies where it would without stretch, and no end of it is padding unless its clip ends there.
    """

    samples: int  # of the output
    window: int  # samples, of the phase vocoder
    probability: float = 0.5
    most: float = 0.1

    def draw(self, count: int, generator: torch.Generator) -> Speed:
        chosen = chance(count, self.probability, generator)
        rate = uniform(count, 1 - self.most, 1 + self.most, generator)
        return Speed(torch.where(chosen, rate, 1.0))

    def apply(self, audio: Tensor, speed: Speed) -> Tensor:
        """`(B, N)` to `(B, samples)`, N at least `samples` and as many more as `longer_by` says."""
        start = (audio.shape[1] - self.samples) // 2
        middle = audio[:, start : start + self.samples]
        stretched = phase_vocoder(audio, speed.rate, self.samples, self.window)
        return torch.where((speed.rate == 1)[:, None], middle, stretched)


def longer_by(samples: int, most: float) -> int:
    """Samples that must lie at each side of `samples` so that they are filled at the highest speed."""
    return math.ceil(samples * most / 2)
