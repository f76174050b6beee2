"""A stream of frames of any length as a bounded number of columns."""

from __future__ import annotations

import numpy as np


class Columns:
    """Means over equal runs of frames; whenever there would be more than `most`, neighbours are merged in pairs."""

    def __init__(self, most: int) -> None:
        """
        Args:
            most: columns, an even number.
        """
        if most < 2 or most % 2:
            raise ValueError(f"columns: expected an even number, got {most}")
        self.width = 1  # frames in a column; the last column may have fewer
        self._most = most
        self._done: list[np.ndarray] = []
        self._rest: np.ndarray | None = None  # frames that are less than a column

    def add(self, frames: np.ndarray) -> None:
        """Take frames `(n, D)` that follow those given before."""
        rest = frames if self._rest is None else np.concatenate([self._rest, frames])
        while len(rest) >= self.width:
            self._merge_if_full()
            taken = min(len(rest) // self.width, self._most - len(self._done)) * self.width
            self._done += list(rest[:taken].reshape(-1, self.width, rest.shape[1]).mean(axis=1))
            rest = rest[taken:]
        self._rest = rest.copy()

    def _merge_if_full(self) -> None:
        if len(self._done) == self._most:
            pairs = np.stack(self._done).reshape(self._most // 2, 2, -1)
            self._done = list(pairs.mean(axis=1))
            self.width *= 2

    def value(self) -> np.ndarray:
        """All columns `(n, D)`, 1 <= n <= most, when the stream is over."""
        if self._rest is not None and len(self._rest):
            self._merge_if_full()
            self._done.append(self._rest.mean(axis=0))
            self._rest = None
        return np.stack(self._done)
