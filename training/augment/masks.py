"""Masks over stretches of time and over bands of frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import uniform

FREQUENCY, TIME = 2, 3  # dimensions of (B, 1, F, T)


class Stripes(NamedTuple):
    """Width and place of each mask, `(B, number)` each in [0, 1): of none to widest, and of first to last place."""

    width: Tensor
    place: Tensor


@dataclass(frozen=True)
class SpectrogramMasks:
    """SpecAugment (Park et al. 2019, section 2): stripes of a random width at a random place show nothing but a level.

    Each width from 0 to `widest` cells is equally likely, and so is each place where the whole stripe lies within
    the input. Stripes may overlap.
    """

    dimension: int  # FREQUENCY or TIME
    number: int
    widest: int  # bands or frames; of a smaller input all

    def draw(self, count: int, generator: torch.Generator) -> Stripes:
        width, place = (uniform(count * self.number, 0.0, 1.0, generator) for _ in range(2))
        return Stripes(width.reshape(count, self.number), place.reshape(count, self.number))

    def apply(self, mel: Tensor, stripes: Stripes, level: Tensor) -> Tensor:
        """`(B, 1, F, T)` to the same shape; `level` is what masked cells show."""
        cells = mel.shape[self.dimension]
        width = (stripes.width * (min(self.widest, cells) + 1)).floor()
        start = (stripes.place * (cells - width + 1)).floor()
        cell = torch.arange(cells, device=mel.device)
        masked = ((cell >= start[..., None]) & (cell < (start + width)[..., None])).any(dim=1)
        shape = [len(mel), 1, 1, 1]
        shape[self.dimension] = cells
        return torch.where(masked.reshape(shape), level, mel)
