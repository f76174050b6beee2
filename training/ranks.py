"""The processes that train together: who reads which rows, and statistics over the rows of all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from selfie_hear.config import ConfigError


class _Gather(torch.autograd.Function):
    """The rows of all processes; the gradient of a row is the sum of what all processes make of it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.count
        return total[first : first + ctx.count]


class RanksError(RuntimeError):
    """Another process has stopped, so that this one cannot go on."""


@dataclass(frozen=True)
class Ranks:
    """One of `count` processes, each with an equal share of every batch."""

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def share(self, total: int) -> slice:
        """This process's part of `total` rows.

        Raises:
            ConfigError: they cannot be shared out evenly.
        """
        if total % self.count:
            raise ConfigError(
                f"{total} crops cannot be shared out evenly among {self.count} processes: batch / accumulate must be "
                "a multiple of their number"
            )
        return slice(self.index * (total // self.count), (self.index + 1) * (total // self.count))

    def rows(self, batch: int, parts: int) -> np.ndarray:
        """The rows of a batch that this process takes: its share of each of `parts` consecutive parts."""
        size = batch // parts
        return np.concatenate([np.arange(size)[self.share(size)] + size * part for part in range(parts)])

    def gather(self, rows: Tensor) -> Tensor:
        """`(n, ...)` of each process to `(count * n, ...)` in all of them, in the order of the batch.

        Differentiable. A loss of the gathered rows is the same in all processes, and DistributedDataParallel averages
        the gradients over processes; with the sum in the backward pass that gives the gradient of one such loss.
        """
        return rows if self.count == 1 else cast(Tensor, _Gather.apply(rows))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a value over the processes; not differentiable."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return flag
        flags = torch.tensor([int(flag)])
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags.item())


ALONE = Ranks()


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """The processes that torchrun started, if it did; else this one alone.

    A DistributedDataParallel must be gone before the end: freed after its group it can wait for ever: for Gloo's
    thread, which waits for the interpreter. An error keeps it alive, so then the group stays until the process ends.

    Args:
        device: what tensors are on; CPU tensors travel by Gloo whatever it is.

    Raises:
        RanksError: the others wait for one that has stopped; its own error says why.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    except RuntimeError as error:
        if "gloo" not in str(error).lower():
            raise
        raise RanksError("another process has stopped, see its own error") from error
    dist.destroy_process_group()
