"""The two views of each crop: from samples to augmented log-mel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfie_hear.frontend import LogMel
from training.augment import (
    Augmentation,
    WaveformAugmentation,
    build_augmentation,
    build_waveform_augmentation,
    samples_beside,
)
from training.config import TrainConfig
from training.ranks import ALONE, Ranks


def margin_of(config: TrainConfig) -> int:
    """Samples that are read at each side of a crop: for the outer frames' windows, and to stretch time."""
    return config.model.front_end.win_length // 2 + max(_beside(config))


def _samples(config: TrainConfig) -> int:
    return config.crop_samples + 2 * (config.model.front_end.win_length // 2)


def _beside(config: TrainConfig) -> tuple[int, int]:
    samples = _samples(config)
    return samples_beside(config.augment, samples), samples_beside(config.augment_second, samples)


@dataclass(frozen=True)
class _View:
    """What is done to a sound for one of its views."""

    spare: int  # samples at each side that only the other view needs
    audio: WaveformAugmentation
    mel: Augmentation

    def hear(self, sound: Tensor, generator: torch.Generator, ranks: Ranks) -> Tensor:
        sound = sound[:, self.spare : sound.shape[1] - self.spare]
        return self.audio(sound, generator, ranks) if self.audio.steps else sound


class TwoViews:
    """Draws and applies both views' augmentations, of the batch of all processes."""

    def __init__(self, config: TrainConfig, front_end: LogMel) -> None:
        self.front_end = front_end
        samples, beside = _samples(config), _beside(config)
        self.both = tuple(
            _View(
                max(beside) - own,
                build_waveform_augmentation(augment, config.model.front_end.sample_rate, samples),
                build_augmentation(augment),
            )
            for augment, own in zip((config.augment, config.augment_second), beside, strict=True)
        )

    def __call__(self, audio: Tensor, generator: torch.Generator, ranks: Ranks = ALONE) -> tuple[Tensor, Tensor]:
        """Two batches of log-mel `(B, 1, F, T)`.

        Args:
            audio: int16 `(1 or 2, B, N)`, one crop for both views or one for each: this process's rows.
        """
        first, second = self.both
        sounds = list(audio.float() / 32768.0)
        if first.audio.steps or second.audio.steps:  # then each view has a sound of its own
            sounds = [
                view.hear(sound, generator, ranks)
                for view, sound in zip(self.both, (sounds[0], sounds[-1]), strict=True)
            ]
        mels = [self.front_end(sound) for sound in sounds]
        return first.mel(mels[0], generator, ranks), second.mel(mels[-1], generator, ranks)
