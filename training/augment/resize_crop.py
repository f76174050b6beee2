"""Random resize crops of log-mel batches: a box of random size and place, resized to the input's size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment.draws import uniform


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
        return _placed((area / aspect).sqrt(), (area * aspect).sqrt(), self.canvas, generator)

    def apply(self, mel: Tensor, boxes: Boxes, level: Tensor) -> Tensor:
        """`(B, 1, F, T)` to the same shape: one `grid_sample` over the batch; `level` is what lies around the input."""
        return _cut(mel, boxes, level)


@dataclass(frozen=True)
class IndependentResizeCrop:
    """The crop of BYOL-A (Niizumi et al. 2021): height and width are drawn one by one.

    A side longer than the canvas is cut to it, so that with the canvas as high as the input no box reaches beyond
    the lowest or highest band.
    """

    height: tuple[float, float] = (0.6, 1.5)
    width: tuple[float, float] = (0.6, 1.5)
    canvas: tuple[float, float] = (1.0, 1.5)

    def draw(self, count: int, generator: torch.Generator) -> Boxes:
        height = uniform(count, *self.height, generator).clamp(max=self.canvas[0])
        width = uniform(count, *self.width, generator).clamp(max=self.canvas[1])
        return _placed(height, width, self.canvas, generator)

    def apply(self, mel: Tensor, boxes: Boxes, level: Tensor) -> Tensor:
        """As `RandomResizeCrop.apply`."""
        return _cut(mel, boxes, level)


def _placed(height: Tensor, width: Tensor, canvas: tuple[float, float], generator: torch.Generator) -> Boxes:
    """Boxes of these sides anywhere within the canvas."""
    count = len(height)
    room_y, room_x = (canvas[0] - height).clamp(min=0) / 2, (canvas[1] - width).clamp(min=0) / 2
    return Boxes(
        height,
        width,
        room_y * uniform(count, -1.0, 1.0, generator),
        room_x * uniform(count, -1.0, 1.0, generator),
    )


def _cut(mel: Tensor, boxes: Boxes, level: Tensor) -> Tensor:
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
