"""What is done to a log-mel batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.augment.background import BackgroundMix
from training.augment.config import AugmentConfig
from training.augment.draws import take
from training.augment.fader import LinearFader
from training.augment.masks import FREQUENCY, TIME, SpectrogramMasks
from training.augment.post_norm import post_normalise
from training.augment.resize_crop import IndependentResizeCrop, RandomResizeCrop
from training.ranks import ALONE, Ranks

ResizeCrop = RandomResizeCrop | IndependentResizeCrop


@dataclass(frozen=True)
class Augmentation:
    """Noise, then resize crop, then fader: the order of the sound's own way to a listener; then masks, then post-norm.

    What draws but is off (a share or a gain of 0) still draws, so that its strength changes no other draw.
    """

    background: BackgroundMix = field(default_factory=BackgroundMix)
    crop: ResizeCrop | None = field(default_factory=RandomResizeCrop)
    fader: LinearFader = field(default_factory=LinearFader)
    masks: tuple[SpectrogramMasks, ...] = ()
    post_norm: bool = False

    def __call__(self, mel: Tensor, generator: torch.Generator, ranks: Ranks = ALONE) -> Tensor:
        """One augmented view of a batch: this process's rows `(B, 1, F, T)` of it."""
        count = mel.shape[0] * ranks.count
        rows = ranks.share(count)
        before = mel
        mix = take(self.background.draw(count, generator), rows)
        if self.background.share:
            mel = self.background.apply(mel, mix, ranks.gather(mel))
        if self.crop is not None:
            boxes = take(self.crop.draw(count, generator), rows)
            mel = self.crop.apply(mel, boxes, ranks.mean(mel.mean()))
        ramp = take(self.fader.draw(count, generator), rows)
        if self.fader.gain:
            mel = self.fader.apply(mel, ramp)
        if self.masks:
            level = ranks.mean(mel.mean())
            for masks in self.masks:
                mel = masks.apply(mel, take(masks.draw(count, generator), rows), level)
        return post_normalise(mel, before, ranks) if self.post_norm else mel


def build_augmentation(config: AugmentConfig) -> Augmentation:
    """The augmentation of log-mel batches that a configuration describes."""
    crops: dict[str, ResizeCrop | None] = {
        "area": RandomResizeCrop(config.crop_scale, config.crop_aspect, config.crop_canvas),
        "sides": IndependentResizeCrop(config.crop_height, config.crop_width, config.crop_canvas),
        "none": None,
    }
    masks = (
        SpectrogramMasks(TIME, config.time_masks, config.time_mask_frames),
        SpectrogramMasks(FREQUENCY, config.frequency_masks, config.frequency_mask_bands),
    )
    return Augmentation(
        BackgroundMix(config.background_share),
        crops[config.crop_by],
        LinearFader(config.fader_gain),
        tuple(each for each in masks if each.number),
        config.post_norm,
    )
