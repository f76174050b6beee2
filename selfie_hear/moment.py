"""Which came first: the first temporal moment of frames about the centre of a clip's energy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class TimeMoment:
    """`sum_t w_t (t - c) / s h_t / sum_t w_t` of frames h_t that come in pieces.

    The weights w_t are the frames' energies, c and s the mean and the standard deviation of the time under these
    weights (s at least one frame). A value is positive where a unit is active late in a sound and negative
    where early; volume, silence around the sound and its tempo do not change it, and order in time, which mean and
    maximum forget, does. Pieces are merged as in Chan, Golub and LeVeque's update of a variance, which is exact
    however late in a clip its sound comes.
    """

    def __init__(self) -> None:
        self._count = 0  # frames so far
        self._merged: _Moments | None = None

    def watch(self, pieces: Iterable[tuple[Tensor, Tensor]], values: slice) -> Iterator[Tensor]:
        """Hand on the frames of pieces as they come, and take them in.

        Args:
            pieces: frames `(B, t, D)` and their energy `(B, t)`, one after the other in time.
            values: which of the D the moment is of.
        """
        for frames, energy in pieces:
            self.add(frames[..., values], energy)
            yield frames

    def add(self, frames: Tensor, energy: Tensor) -> None:
        """Take in the next `(B, t, D)` frames, whose energy is `(B, t)` and above 0."""
        wide = torch.float32 if frames.device.type == "mps" else torch.float64  # mps has no float64
        time = torch.arange(self._count, self._count + frames.shape[1], dtype=wide, device=frames.device)
        piece = _Moments.of(energy.to(wide), time, frames.to(wide))
        self._merged = piece if self._merged is None else self._merged.merge(piece)
        self._count += frames.shape[1]

    def value(self) -> Tensor:
        """`(B, D)`, float32.

        Raises:
            ValueError: there was no frame.
        """
        if self._merged is None:
            raise ValueError("TimeMoment: no frames to pool")
        return self._merged.normalised().float()


class _Moments(NamedTuple):
    """Weighted sums over some frames: of time and frames about the centre of their time."""

    weight: Tensor  # (B, 1): sum of w
    centre: Tensor  # (B, 1): mean of t under w
    square: Tensor  # (B, 1): sum of w (t - centre)^2
    sum: Tensor  # (B, D): sum of w h
    product: Tensor  # (B, D): sum of w (t - centre) h

    @classmethod
    def of(cls, weights: Tensor, time: Tensor, frames: Tensor) -> _Moments:
        weight = weights.sum(1, keepdim=True)
        centre = (weights * time).sum(1, keepdim=True) / weight
        away = time - centre
        return cls(
            weight,
            centre,
            (weights * away.square()).sum(1, keepdim=True),
            (weights[..., None] * frames).sum(1),
            ((weights * away)[..., None] * frames).sum(1),
        )

    def merge(self, other: _Moments) -> _Moments:
        weight = self.weight + other.weight
        apart = other.centre - self.centre
        centre = self.centre + apart * other.weight / weight
        return _Moments(
            weight,
            centre,
            self.square + other.square + apart.square() * self.weight * other.weight / weight,
            self.sum + other.sum,
            self.product + (self.centre - centre) * self.sum + other.product + (other.centre - centre) * other.sum,
        )

    def normalised(self) -> Tensor:
        deviation = (self.square / self.weight).sqrt().clamp(min=1.0)
        return self.product / (self.weight * deviation)
