"""What augmentations draw with, and the rows of what they drew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Drawn = TypeVar("Drawn", bound=tuple[Tensor, ...])


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """`(count,)` values from U(low, high), on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def chance(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """`(count,)` booleans, each true with that probability."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def take(drawn: Drawn, rows: slice) -> Drawn:
    """The parameters of some rows."""
    kind: Callable[..., Drawn] = drawn.__class__
    return kind(*(values[rows] for values in drawn))
