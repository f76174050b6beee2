"""What is done to a batch of crops before they become log-mel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from training.augment.config import AugmentConfig
from training.augment.draws import take
from training.augment.fade import Fade
from training.augment.flip import Flip
from training.augment.noise import AdditiveNoise
from training.augment.padding import RandomPadding
from training.augment.pitch_shift import PitchShift
from training.augment.room import RoomResponse
from training.augment.time_stretch import TimeStretch, longer_by
from training.augment.vocoder import vocoder_window
from training.ranks import ALONE, Ranks


class Step(Protocol):
    """One augmentation of waveforms."""

    def draw(self, count: int, generator: torch.Generator) -> Any:
        """The parameters of `count` rows."""

    def apply(self, audio: Tensor, drawn: Any, /) -> Tensor:
        """`(B, N)` with the parameters of B rows."""


@dataclass(frozen=True)
class WaveformAugmentation:
    """Steps one after another; without any there is nothing to call it for."""

    steps: tuple[Step, ...] = ()

    def __call__(self, audio: Tensor, generator: torch.Generator, ranks: Ranks = ALONE) -> Tensor:
        """One augmented view of a batch: this process's rows `(B, N)` of it; shorter where time is stretched."""
        count = audio.shape[0] * ranks.count
        rows = ranks.share(count)
        for step in self.steps:
            audio = step.apply(audio, take(step.draw(count, generator), rows))
        return audio


def build_waveform_augmentation(config: AugmentConfig, sample_rate: int, samples: int) -> WaveformAugmentation:
    """The augmentation of waveforms that a configuration describes, of those steps that are on.

    Args:
        sample_rate: Hz.
        samples: that a row is to have afterwards; beforehand it has `samples_beside` more at each side.
    """
    window = vocoder_window(sample_rate)
    stretch = TimeStretch(samples, window, config.stretch_probability, config.stretch)
    pitch = PitchShift(window, config.pitch_probability, config.pitch_semitones)
    room = RoomResponse(sample_rate, config.room_probability, config.room_rt60, config.room_direct_ratio)
    noise = AdditiveNoise(sample_rate, samples, config.noise_probability, config.noise_snr, config.noise_slope)
    padding = round(config.padding_seconds * sample_rate)
    steps: list[tuple[float, Step]] = [
        (stretch.probability * stretch.most, stretch),
        (pitch.probability * pitch.most, pitch),
        (config.flip_probability, Flip(config.flip_probability)),
        (room.probability, room),
        (noise.probability, noise),
        (config.fade_probability * config.fade_share, Fade(config.fade_probability, config.fade_share)),
        (padding, RandomPadding(padding)),
    ]
    return WaveformAugmentation(tuple(step for on, step in steps if on))


def samples_beside(config: AugmentConfig, samples: int) -> int:
    """Samples that are read at each side of a row of `samples`, for it to be stretched."""
    return longer_by(samples, config.stretch) if config.stretch_probability else 0
