"""Fades of the sound: in at its start and out at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance, uniform


class Fades(NamedTuple):
    """How each row fades; each `(B,)`."""

    start: Tensor  # share of the row over which it fades in; 0 does not fade
    end: Tensor  # share over which it fades out
    shape: Tensor  # number in `SHAPES`


def _linear(x: Tensor) -> Tensor:
    return x


def _logarithmic(x: Tensor) -> Tensor:
    return torch.log10(1 + 9 * x)


def _exponential(x: Tensor) -> Tensor:
    return (10**x - 1) / 9


SHAPES = (_linear, _logarithmic, _exponential)  # gain over a fade in: from 0 to 1


@dataclass(frozen=True)
class Fade:
    """Fade in and out, with some probability: CLAR (Al-Tahan and Mohsenzadeh 2021).

    Each side over U(0, share) of the row; linear, logarithmic or exponential with equal probability, the same shape
    at both sides. CLAR does not give the curves: these two go over 20 dB, each mirrors the other.
    """

    probability: float = 1.0
    share: float = 0.5

    def draw(self, count: int, generator: torch.Generator) -> Fades:
        chosen = chance(count, self.probability, generator)
        start, end = (torch.where(chosen, uniform(count, 0.0, self.share, generator), 0.0) for _ in range(2))
        shape = torch.randint(len(SHAPES), (count,), generator=generator, device=generator.device)
        return Fades(start, end, shape)

    def apply(self, audio: Tensor, fades: Fades) -> Tensor:
        """`(B, N)` to the same shape."""
        count = audio.shape[1]
        place = (torch.arange(count, device=audio.device) + 0.5) / count  # so that nothing is 0 for being first
        gain = _gain(place, fades.start, fades.shape) * _gain(1 - place, fades.end, fades.shape)
        return audio * gain.to(audio.dtype)


def _gain(place: Tensor, share: Tensor, shape: Tensor) -> Tensor:
    """`(B, N)` gain of a fade in over a share `(B,)` of places from 0 to 1 `(N,)`."""
    x = (place / share.clamp(min=torch.finfo(share.dtype).tiny)[:, None]).clamp(max=1.0)
    gains = torch.stack([curve(x) for curve in SHAPES])
    return gains[shape, torch.arange(len(x), device=x.device)]
