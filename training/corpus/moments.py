"""Mean and standard deviation of each dimension of rows that come in parts; values that are not finite do not count."""

from __future__ import annotations

import numpy as np


class Moments:
    """
    Attributes:
        mean: `(D,)` float64; 0 of a dimension without a finite value.
    """

    def __init__(self, size: int) -> None:
        self.mean = np.zeros(size)
        self._counts = np.zeros(size)
        self._squares = np.zeros(size)  # of the distances to the mean, summed
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)

    def add(self, rows: np.ndarray) -> None:
        """Take in `(n, D)`, by the pairwise update of Chan, Golub and LeVeque."""
        finite = np.isfinite(rows)
        values = np.where(finite, rows, 0.0).astype(np.float64)
        counts = finite.sum(0)
        mean = values.sum(0) / np.maximum(counts, 1)
        squares = np.where(finite, values - mean, 0.0)
        total = np.maximum(self._counts + counts, 1)
        step = mean - self.mean
        self._squares += (squares**2).sum(0) + step**2 * self._counts * counts / total
        self.mean += step * counts / total
        self._counts += counts
        self._low = np.minimum(self._low, np.where(finite, rows, np.inf).min(0))
        self._high = np.maximum(self._high, np.where(finite, rows, -np.inf).max(0))

    @property
    def std(self) -> np.ndarray:
        """`(D,)` float64, of the population; exactly 0 of a dimension that never varies, whatever the rounding."""
        return np.where(self._low < self._high, np.sqrt(self._squares / np.maximum(self._counts, 1)), 0.0)

    def standardise(self, rows: np.ndarray) -> np.ndarray:
        """`(n, D)` in standard deviations from the mean, float64; 0 where it is not finite or never varies."""
        std = self.std
        usable = np.isfinite(rows) & (std > 0)
        return np.where(usable, np.where(usable, rows - self.mean, 0.0) / np.where(std > 0, std, 1.0), 0.0)
