"""SELFIE's three augmentations of log-mel batches: each draws its parameters from a generator, then applies them.

Parameters are drawn for the batch of all processes and shared out, so that a view does not depend on their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import AugmentConfig
from training.ranks import ALONE, Ranks

Drawn = TypeVar("Drawn", "Boxes", "Mix", "Ramp")


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """`(count,)` values from U(low, high), on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def take(drawn: Drawn, rows: slice) -> Drawn:
    """The parameters of some rows."""
    return drawn.__class__(*(values[rows] for values in drawn))


class Boxes(NamedTuple):
    """Crop boxes in units of the input (1 = its height or width), relative to its centre; each `(B,)`."""

    height: Tensor
    width: Tensor
    centre_y: Tensor
    centre_x: Tensor


@dataclass(frozen=True)
class RandomResizeCrop:
    """Crop a box of random area, aspect and place from a canvas larger than the input, resize it to the input's size.

    SELFIE section 2.2: area scale 0.6-1.5, aspect ratio 0.75-1.33 (width to height, relative to the input's own),
    bicubic. SELFIE does not give the canvas; BYOL-A's is longer than the input in time only, so that boxes move
    freely in time but little in pitch. A box larger than the canvas is centred. Around the input lies the mean level
    of the batch, which is the "zero" of a normalised spectrogram.
    """

    scale: tuple[float, float] = (0.6, 1.5)
    aspect: tuple[float, float] = (0.75, 1.33)
    canvas: tuple[float, float] = (1.0, 1.5)  # height (frequency) and width (time), relative to the input

    def draw(self, count: int, generator: torch.Generator) -> Boxes:
        area = uniform(count, *self.scale, generator)
        # The logarithm of the aspect is uniform, so that wide and high boxes are equally likely.
        narrow, wide = (math.log(ratio) for ratio in self.aspect)
        aspect = uniform(count, narrow, wide, generator).exp()
        height, width = (area / aspect).sqrt(), (area * aspect).sqrt()
        room_y, room_x = (self.canvas[0] - height).clamp(min=0) / 2, (self.canvas[1] - width).clamp(min=0) / 2
        return Boxes(
            height,
            width,
            room_y * uniform(count, -1.0, 1.0, generator),
            room_x * uniform(count, -1.0, 1.0, generator),
        )

    def apply(self, mel: Tensor, boxes: Boxes, level: Tensor) -> Tensor:
        """`(B, 1, F, T)` to the same shape: one `grid_sample` over the batch; `level` is what lies around the input."""
        zero = torch.zeros_like(boxes.height)
        # grid_sample runs over [-1, 1], so a centre in units of the input counts twice.
        theta = torch.stack(
            [
                torch.stack([boxes.width, zero, 2 * boxes.centre_x], dim=1),
                torch.stack([zero, boxes.height, 2 * boxes.centre_y], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(theta, list(mel.shape), align_corners=False)
        return F.grid_sample(mel - level, grid, mode="bicubic", padding_mode="zeros", align_corners=False) + level


class Mix(NamedTuple):
    """Background: `(B,)` index of the other clip and `(B,)` its share."""

    other: Tensor
    share: Tensor


@dataclass(frozen=True)
class BackgroundMix:
    """Mix in another clip of the batch as background, in the linear mel domain: (1 - l) x + l x', l ~ U(0, share)."""

    share: float = 0.2

    def draw(self, count: int, generator: torch.Generator) -> Mix:
        order = torch.randperm(count, generator=generator, device=generator.device)
        other = torch.empty_like(order)
        other[order] = order.roll(1)  # one cycle through the batch: nobody is their own background
        return Mix(other, uniform(count, 0.0, self.share, generator))

    def apply(self, mel: Tensor, mix: Mix, everyone: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to the same shape; `everyone` holds the batch of all processes."""
        share = mix.share[:, None, None, None]
        return torch.logaddexp(mel + torch.log1p(-share), everyone[mix.other] + share.log())


class Ramp(NamedTuple):
    """Gain at the start and at the end of the clip, each `(B,)`, in log-mel units."""

    start: Tensor
    end: Tensor


@dataclass(frozen=True)
class LinearFader:
    """A linear ramp of gain over time: fade in or out, louder or softer; ends ~ U(-gain, gain) in log-mel units."""

    gain: float = 1.0

    def draw(self, count: int, generator: torch.Generator) -> Ramp:
        start, end = (uniform(count, -self.gain, self.gain, generator) for _ in range(2))
        return Ramp(start, end)

    def apply(self, mel: Tensor, ramp: Ramp) -> Tensor:
        """`(B, 1, F, T)` to the same shape."""
        time = torch.linspace(0.0, 1.0, mel.shape[3], device=mel.device)
        return mel + (ramp.start[:, None] + (ramp.end - ramp.start)[:, None] * time)[:, None, None, :]


@dataclass(frozen=True)
class Augmentation:
    """Noise, then resize crop, then fader: the order of the sound's own way to a listener."""

    background: BackgroundMix = BackgroundMix()
    crop: RandomResizeCrop = RandomResizeCrop()
    fader: LinearFader = LinearFader()

    def __call__(self, mel: Tensor, generator: torch.Generator, ranks: Ranks = ALONE) -> Tensor:
        """One augmented view of a batch: this process's rows `(B, 1, F, T)` of it."""
        count = mel.shape[0] * ranks.count
        rows = ranks.share(count)
        mix = take(self.background.draw(count, generator), rows)
        mel = self.background.apply(mel, mix, ranks.gather(mel))
        boxes = take(self.crop.draw(count, generator), rows)
        mel = self.crop.apply(mel, boxes, ranks.mean(mel.mean()))
        return self.fader.apply(mel, take(self.fader.draw(count, generator), rows))


def build_augmentation(config: AugmentConfig) -> Augmentation:
    return Augmentation(
        BackgroundMix(config.background_share),
        RandomResizeCrop(config.crop_scale, config.crop_aspect, config.crop_canvas),
        LinearFader(config.fader_gain),
    )
