"""Simulated rooms: reverberation of a random length and strength."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from training.augment.draws import chance, uniform

OCTAVES = 6  # each decays at its own pace; the lowest reaches down to 0 Hz
REFERENCE = 1000.0  # Hz: where the reverberation time is the one drawn


class Rooms(NamedTuple):
    """What each room is like; each `(B,)` but the noise."""

    chosen: Tensor  # whether the sound is in a room at all
    rt60: Tensor  # s
    damping: Tensor  # exponent by which the reverberation time falls with frequency
    direct_ratio: Tensor  # dB
    noise: Tensor  # (B, L): normal values, of which the reverberation is made


@dataclass(frozen=True)
class RoomResponse:
    """Convolve with the impulse response of a simulated room, with some probability.

    Emami et al. (section 2.1) take measured and simulated responses of the DNS Challenge; here a response is drawn:
    the direct sound at once, then, in each octave, noise that decays exponentially by 60 dB in the reverberation time
    (Polack 1988). High octaves decay faster, as air and walls absorb more of them. A response has the energy 1, so
    that white noise keeps its level on average; nothing is done to the level of a row. What was before the crop is
    not heard: the room is silent when the crop begins.
    """

    sample_rate: int  # Hz
    probability: float = 1.0
    rt60: tuple[float, float] = (0.2, 1.0)  # s, at 1 kHz
    direct_ratio: tuple[float, float] = (0.0, 15.0)  # dB: energy of the direct sound to that of the reverberation
    damping: tuple[float, float] = (0.0, 0.3)

    def draw(self, count: int, generator: torch.Generator) -> Rooms:
        length = math.ceil(self.rt60[1] * self.sample_rate)
        return Rooms(
            chance(count, self.probability, generator),
            uniform(count, *self.rt60, generator),
            uniform(count, *self.damping, generator),
            uniform(count, *self.direct_ratio, generator),
            torch.randn(count, length, generator=generator, device=generator.device),
        )

    def responses(self, rooms: Rooms) -> Tensor:
        """The impulse responses `(B, 1 + L)`."""
        count = rooms.noise.shape[1]
        spectrum = torch.fft.rfft(rooms.noise)
        hertz = torch.linspace(0.0, self.sample_rate / 2, spectrum.shape[1], device=rooms.noise.device)
        seconds = torch.arange(1, count + 1, device=rooms.noise.device) / self.sample_rate
        tail = torch.zeros_like(rooms.noise)
        for octave in range(OCTAVES):
            high = self.sample_rate / 2 ** (octave + 1)
            low = high / 2 if octave < OCTAVES - 1 else -1.0
            band = torch.fft.irfft(spectrum * ((low < hertz) & (hertz <= high)), count)
            rt60 = rooms.rt60 * (high / math.sqrt(2) / REFERENCE) ** -rooms.damping
            tail += band * torch.exp(-math.log(1000) / rt60[:, None] * seconds)
        energy = 10 ** (-rooms.direct_ratio / 10)  # of the reverberation; that of the direct sound is 1
        tail = tail * (energy / tail.square().sum(1)).sqrt()[:, None]
        return torch.cat([torch.ones_like(tail[:, :1]), tail], dim=1) / (1 + energy).sqrt()[:, None]

    def apply(self, audio: Tensor, rooms: Rooms) -> Tensor:
        """`(B, N)` to the same shape."""
        responses = self.responses(rooms)
        size = 2 ** math.ceil(math.log2(audio.shape[1] + responses.shape[1]))  # one that FFT takes quickly
        heard = torch.fft.irfft(torch.fft.rfft(audio, size) * torch.fft.rfft(responses, size), size)
        return torch.where(rooms.chosen[:, None], heard[:, : audio.shape[1]], audio)
