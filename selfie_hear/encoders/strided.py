"""What encoders share whose network has coarser frames than timestamps need, or looks at all that it is given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from selfie_hear.config import ConfigError
from selfie_hear.encoders.base import Encoder
from selfie_hear.encoders.input_norm import input_norm


class StridedEncoder(Encoder):
    """An encoder around a network of images, which makes one frame of `step` mel frames.

    Timestamps: HEAR wants one every 50 ms at least. An output frame comes every 4 mel frames and is the frame of the
    network that is centred nearest to it. Pooled over a time, each frame of the network so counts for as much of it
    as it is nearest to; timestamps come every 40 ms and are no finer than the network's.

    Context: a network of convolutions is given what its receptive field covers, so chunks equal the whole clip, but
    for rounding. A network that looks at all that it is given (recurrence, attention, squeeze and excitation) is given
    segments of S = `segment` mel frames: `[0, S)`, `[S, 2 S)`, ..., each by itself. The last one of a clip ends with
    the clip, and what the one before has heard too is dropped from it; a clip of S frames or fewer is one segment.
    So a frame depends on its clip alone, and chunks, which begin where segments do, equal the whole bit by bit.

    At the end of a clip zeros, the level of the average input, complete the network's last frame.
    """

    stride = 4

    def __init__(
        self,
        step: int,
        *,
        segment: int | None = None,
        half_field: int = 0,
        centre: float = 0.0,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            step: mel frames per frame of the network; a multiple of 4.
            segment: mel frames that the network is given at once; None for a network of bounded context.
            half_field: mel frames that a frame of the network sees on each side of its centre, without segments.
            centre: of the network's first frame, in mel frames.
            input_mean, input_std: see `input_norm`.

        Raises:
            ConfigError: a segment that is no positive multiple of `step`; wrong statistics.
        """
        super().__init__()
        if segment is not None and (not isinstance(segment, int) or segment < step or segment % step):
            raise ConfigError(f"segment: expected a positive multiple of {step} mel frames, got {segment!r}")
        self.step, self.segment, self.centre = step, segment, centre
        self.unit = segment or step
        # The nearest frame of the network is up to half a step away.
        self.context = 0 if segment else -(-(half_field + step // 2) // self.stride) * self.stride
        self.norm0 = input_norm(input_mean, input_std)

    @abstractmethod
    def network(self, x: Tensor) -> Tensor:
        """`(B, 1, F, T)`, normalised, with T a multiple of `step`, to `(B, T // step, dim)`."""

    def encode(self, planes: Tensor) -> Tensor:
        """`(B, 1, F, T)` to `(B, T // 4, dim)`."""
        count = planes.shape[3] // self.stride
        x = F.pad(self.norm0(planes), (0, -planes.shape[3] % self.step))
        length = min(self.segment or x.shape[3], x.shape[3])
        pieces = []
        for start in range(0, max(1, count * self.stride), length):
            first = min(start, x.shape[3] - length)
            piece = x[..., first : first + length].contiguous()  # rounded alike wherever it was cut from
            frames = self._spread(self.network(piece))
            pieces.append(frames[:, (start - first) // self.stride :])
        return torch.cat(pieces, dim=1)[:, :count]

    def _spread(self, frames: Tensor) -> Tensor:
        """`(B, T // step, dim)` to `(B, T // 4, dim)`: of each output frame the nearest."""
        count = frames.shape[1] * self.step // self.stride
        middles = torch.arange(count, device=frames.device) * self.stride + (self.stride - 1) / 2
        nearest = ((middles - self.centre) / self.step).round().long().clamp(0, frames.shape[1] - 1)
        return frames[:, nearest]


def half_field(layers: Iterable[tuple[int, int]]) -> int:
    """Inputs that an output sees on each side of its centre.

    Args:
        layers: (kernel, stride) of each, first to last; odd kernels, padded by half of them.
    """
    seen, jump = 0, 1
    for kernel, stride in layers:
        seen += kernel // 2 * jump
        jump *= stride
    return seen
