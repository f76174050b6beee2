"""What every encoder promises to the code that frames and pools."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network whose output frame k sees the mel frames `stride * k - context` to `stride * (k + 1) + context - 1`.

    Attributes:
        dim: values per output frame.
        stride: mel frames per output frame.
        context: mel frames that an output frame sees on each side of its own; a multiple of `stride`.
        reach: mel frames on each side of its own that `prepare` sees, as far as the clip has them; a multiple of
            `stride`.
        unit: what `encode` is given begins at a multiple of `unit` mel frames of the clip, ends at another or with
            the clip, and in that case holds the last `unit` frames of the clip if it has as many; 1, or a multiple
            of `stride`.
        timed: values whose order in time a scene embedding can tell ("mean_max_moment").
    """

    dim: int
    stride: int
    context: int
    reach: int = 0
    unit: int = 1
    timed: slice = slice(None)

    def forward(self, mel: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to `(B, T // stride, dim)`."""
        return self.encode(self.prepare(mel))

    def prepare(self, mel: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to the `(B, C, F, T)` that `encode` takes: what is cheap and looks far."""
        return mel

    @abstractmethod
    def encode(self, planes: Tensor) -> Tensor:
        """`(B, C, F, T)` to `(B, T // stride, dim)`: what is dear and looks no further than `context`."""
