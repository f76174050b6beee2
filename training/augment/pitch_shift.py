"""Pitch shift: higher or lower, at the same speed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance, uniform
from training.augment.vocoder import phase_vocoder

FINER = 2  # times the sample rate: leaves half of the spectrum to the slope of the filter that resamples
TAPS = 8  # of that filter, whose slope then just fits


class Pitch(NamedTuple):
    """By how many semitones, `(B,)`; exactly 0 where the sound stays as it is."""

    semitones: Tensor


@dataclass(frozen=True)
class PitchShift:
    """Raise or lower by U(-most, most) semitones, with some probability: stretched in time, then resampled.

    What would come to lie above Nyquist is left out before; the top that a lowered sound leaves stays empty.
    """

    window: int  # samples, of the phase vocoder
    probability: float = 1.0
    most: float = 2.0  # semitones

    def draw(self, count: int, generator: torch.Generator) -> Pitch:
        chosen = chance(count, self.probability, generator)
        return Pitch(torch.where(chosen, uniform(count, -self.most, self.most, generator), 0.0))

    def apply(self, audio: Tensor, pitch: Pitch) -> Tensor:
        """`(B, N)` to the same shape."""
        count = audio.shape[1]
        factor = (pitch.semitones / 12).exp2()
        longest = math.ceil(count * 2 ** (self.most / 12))
        long = phase_vocoder(audio, 1 / factor, longest, self.window, FINER, 1 / factor)
        steps = torch.arange(count, device=audio.device) - count / 2
        shifted = _between(long, FINER * (longest / 2 + steps * factor[:, None]))
        return torch.where((pitch.semitones == 0)[:, None], audio, shifted)


def _between(audio: Tensor, place: Tensor) -> Tensor:
    """`(B, N)` at places between its samples, `(B, n)`: a sinc under a Hann window of `TAPS` samples."""
    left = place.floor()
    part = (place - left).to(audio.dtype)
    total = torch.zeros_like(part)
    for tap in range(1 - TAPS // 2, 1 + TAPS // 2):
        away = part - tap
        weight = torch.sinc(away) * (math.pi / TAPS * away).cos().square()
        total += weight * audio.gather(1, (left.long() + tap).clamp(0, audio.shape[1] - 1))
    return total
