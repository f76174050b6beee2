"""What tests of augmentations need: generators, sounds, and processes that are threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from training.ranks import Ranks

RATE = 16000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Normal values: a log-mel batch `(B, 1, F, T)` or sounds `(B, N)`."""
    return torch.randn(*shape, generator=seeded(seed))


def sine(hertz: float, samples: int) -> Tensor:
    """`(samples,)`, of power 1/2."""
    return (2 * math.pi * hertz / RATE * torch.arange(samples)).sin()


def decibels(power: Tensor) -> Tensor:
    return 10 * power.log10()


def is_seeded(augmentation: Any) -> bool:
    """Whether a draw of 16 depends on its generator alone, and everything drawn on its seed."""
    torch.manual_seed(0)
    first = augmentation.draw(16, seeded(3))
    torch.manual_seed(1)
    again, other = augmentation.draw(16, seeded(3)), augmentation.draw(16, seeded(4))
    return (
        all(len(values) == 16 for values in first)
        and all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        and not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    )


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks whose processes are threads, that meet at a board to exchange tensors."""

    board: dict[int, Tensor] = field(default_factory=dict)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def _exchange(self, value: Tensor) -> list[Tensor]:
        self.board[self.index] = value
        self.meeting.wait(timeout=10)
        values = [self.board[index] for index in range(self.count)]
        self.meeting.wait(timeout=10)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat(self._exchange(rows))

    def mean(self, value: Tensor) -> Tensor:
        return torch.stack(self._exchange(value)).mean()


def in_threads(count: int, job: Callable[[Ranks], list[Tensor]]) -> list[Tensor]:
    """What each of `count` processes returns, joined in their order."""
    board: dict[int, Tensor] = {}
    meeting = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(job, [Threads(index, count, board, meeting) for index in range(count)]))
    return [torch.cat(rows) for rows in zip(*parts, strict=True)]
