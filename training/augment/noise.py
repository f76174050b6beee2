"""Additive noise at a drawn level and of a drawn colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance, uniform

LOWEST = 20.0  # Hz: lower sound is not heard, but would take most of the power of brown noise


class Noises(NamedTuple):
    """What is added to each row; each `(B,)` but the last."""

    chosen: Tensor  # whether anything is
    snr: Tensor  # dB
    slope: Tensor  # dB per octave
    white: Tensor  # (B, N): normal values


@dataclass(frozen=True)
class AdditiveNoise:
    """Add noise at a signal-to-noise ratio drawn in dB, with some probability.

    Signal and noise are measured over the whole row, so that the ratio is met exactly; digital silence stays silent.
    The power of the noise changes by the slope with each octave: 0 is white, -3 pink, -6 brown.
    """

    sample_rate: int  # Hz
    samples: int  # of a row
    probability: float = 1.0
    snr: tuple[float, float] = (5.0, 30.0)  # dB
    slope: tuple[float, float] = (0.0, 0.0)  # dB per octave

    def draw(self, count: int, generator: torch.Generator) -> Noises:
        return Noises(
            chance(count, self.probability, generator),
            uniform(count, *self.snr, generator),
            uniform(count, *self.slope, generator),
            torch.randn(count, self.samples, generator=generator, device=generator.device),
        )

    def apply(self, audio: Tensor, noises: Noises) -> Tensor:
        """`(B, samples)` to the same shape."""
        noise = self._coloured(noises)
        power, noise_power = audio.square().mean(1), noise.square().mean(1)
        gain = (power / noise_power * 10 ** (-noises.snr / 10)).sqrt()
        return torch.where(noises.chosen[:, None], audio + gain[:, None] * noise, audio)

    def _coloured(self, noises: Noises) -> Tensor:
        spectrum = torch.fft.rfft(noises.white)
        hertz = torch.linspace(0.0, self.sample_rate / 2, spectrum.shape[1], device=noises.white.device)
        octaves = (hertz.clamp(min=LOWEST) / LOWEST).log2()
        gain = 10 ** (noises.slope[:, None] * octaves / 20) * (hertz >= LOWEST)
        noise: Tensor = torch.fft.irfft(spectrum * gain, self.samples)
        return noise
