"""Batches read ahead of the step that needs them."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from training.corpus.crops import Batch, Crops


class Feeder:
    """The rows of one process, batch after batch, on its device; what they hold does not depend on the threads."""

    def __init__(
        self, crops: Crops, rows: np.ndarray, device: torch.device, step: int, threads: int = 2, ahead: int = 4
    ) -> None:
        """
        Args:
            rows: which rows of each batch, see `Crops.read`.
            step: the first batch.
            threads: that read; copying out of the memory map releases the interpreter's lock.
            ahead: batches that are kept ready.
        """
        self.crops, self.rows, self.device = crops, rows, device
        self._waited = 0.0
        self._pool = ThreadPoolExecutor(threads, "feeder")
        self._coming: deque[Future[Batch]] = deque()
        self._next = step
        for _ in range(ahead):
            self._ask()

    def _ask(self) -> None:
        self._coming.append(self._pool.submit(self._read, self._next))
        self._next += 1

    def _read(self, step: int) -> Batch:
        batch = self.crops.read(step, self.rows)
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def next(self) -> Batch:
        """The next batch."""
        started = time.perf_counter()
        batch = self._coming.popleft().result()
        self._waited += time.perf_counter() - started
        self._ask()
        return batch.to(self.device)

    def take_wait(self) -> float:
        """Seconds that `next` has waited for data since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def __enter__(self) -> Feeder:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
