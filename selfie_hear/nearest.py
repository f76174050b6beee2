"""The rows of a table with the highest cosine to a query: exact, by reading it or with a faiss index in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.embeddings_file import EmbeddingsFile

MEASURES = ("standardised", "centred", "plain")
DOUBT = 1e-4  # more than the sums of two implementations differ by


class Measure:
    """What is done to embeddings before their cosine is taken, by the statistics of the table.

    "plain" nothing; "centred" less the mean; "standardised" less the mean and divided by the standard deviation of
    each value (values that are the same in all rows count for nothing).
    """

    def __init__(self, name: str, table: EmbeddingsFile) -> None:
        """
        Raises:
            ConfigError: an unknown name.
        """
        if name not in MEASURES:
            raise ConfigError(f"measure {name!r} is unknown; known are {', '.join(MEASURES)}")
        self.name = name
        self._mean, self._scale = np.zeros(table.size, np.float32), np.ones(table.size, np.float32)
        if name != "plain":
            mean, deviation = _statistics(table)
            self._mean = mean.astype(np.float32)
            if name == "standardised":
                even = deviation <= 1e-6 * np.abs(mean)  # no more than rounding
                self._scale = (1 / np.where(even, np.inf, deviation)).astype(np.float32)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Embeddings `(n, D)` as vectors of length 1 (0 where nothing is left of one), float32."""
        moved = (values - self._mean) * self._scale
        lengths = np.sqrt(np.einsum("nd,nd->n", moved, moved))[:, None]
        vectors: np.ndarray = np.divide(moved, lengths, out=np.zeros_like(moved), where=lengths > 0)
        return vectors


def _statistics(table: EmbeddingsFile) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation `(D,)`, merged from batches (Chan, Golub and LeVeque 1979)."""
    count, mean, square = 0, np.zeros(table.size), np.zeros(table.size)
    for batch in table.batches():
        values = batch.values.astype(np.float64)
        own, n = values.mean(axis=0), len(values)
        apart = own - mean
        square += np.square(values - own).sum(axis=0) + np.square(apart) * count * n / (count + n)
        mean += apart * n / (count + n)
        count += n
    return mean, np.sqrt(square / max(1, count))


class Found(NamedTuple):
    """The best rows for one query, best first and of equal ones the first row first."""

    rows: np.ndarray  # (k,) int64
    scores: np.ndarray  # (k,) float32

    @classmethod
    def best(cls, rows: np.ndarray, scores: np.ndarray, k: int) -> Found:
        order = np.lexsort((rows, -scores))[:k]
        return cls(rows[order], scores[order])


class Nearest(ABC):
    """Rows of a table by their cosine to queries."""

    def __init__(self, table: EmbeddingsFile, measure: Measure) -> None:
        self._table, self.measure = table, measure

    @abstractmethod
    def top(self, queries: np.ndarray, k: int) -> list[Found]:
        """For each of the queries `(q, D)` the `k` nearest rows, or all if there are fewer."""

    def _vectors(self) -> Iterator[np.ndarray]:
        return (self.measure.apply(batch.values) for batch in self._table.batches())


class NumpyNearest(Nearest):
    """Reads the table for each call: memory does not grow with it."""

    def top(self, queries: np.ndarray, k: int) -> list[Found]:
        wanted = self.measure.apply(queries)
        found = [Found(np.empty(0, np.int64), np.empty(0, np.float32))] * len(wanted)
        first = 0
        for vectors in self._vectors():
            rows = np.arange(first, first + len(vectors))
            first += len(vectors)
            for number, scores in enumerate(_cosines(vectors, wanted).T):
                old = found[number]
                found[number] = Found.best(np.append(old.rows, rows), np.append(old.scores, scores), k)
        return found


class FaissNearest(Nearest):
    """Holds all vectors in a faiss IndexFlatIP: the same neighbours, faster from the second call on.

    What faiss finds is scored again as `NumpyNearest` does it, so that both have the same scores and order.
    """

    def __init__(self, table: EmbeddingsFile, measure: Measure) -> None:
        """
        Raises:
            MissingExtraError: no faiss.
        """
        try:
            import faiss
        except ImportError as error:
            raise MissingExtraError("the engine faiss needs faiss: pip install 'selfie_hear[faiss]'") from error
        super().__init__(table, measure)
        self._index: Any = faiss.IndexFlatIP(table.size)
        for vectors in self._vectors():
            self._index.add(vectors)

    def top(self, queries: np.ndarray, k: int) -> list[Found]:
        return [self._top(vector[None], min(k, self._index.ntotal)) for vector in self.measure.apply(queries)]

    def _top(self, vector: np.ndarray, k: int) -> Found:
        count = k
        while True:
            count = min(2 * count + 8, self._index.ntotal)
            scores, rows = self._index.search(vector, count)
            if count == self._index.ntotal or scores[0, -1] < scores[0, k - 1] - DOUBT:
                break  # whatever else there is lies further away than the k-th, however sums are rounded
        return Found.best(rows[0], _cosines(self._index.reconstruct_batch(rows[0]), vector)[:, 0], k)


def _cosines(vectors: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`(n, q)`; not a matrix product, whose sums are rounded by the place of a row among the others."""
    return np.stack([np.einsum("nd,d->n", vectors, one) for one in wanted], axis=1)


NEAREST: dict[str, type[Nearest]] = {"numpy": NumpyNearest, "faiss": FaissNearest}


def open_nearest(engine: str, table: EmbeddingsFile, measure: str) -> Nearest:
    """
    Raises:
        ConfigError: an unknown engine or measure.
        MissingExtraError: the engine's package is not installed.
    """
    if engine not in NEAREST:
        raise ConfigError(f"engine {engine!r} is unknown; known are {', '.join(NEAREST)}")
    return NEAREST[engine](table, Measure(measure, table))


def places_of(table: EmbeddingsFile, rows: Iterable[int] | np.ndarray) -> dict[int, tuple[str, float | None]]:
    """Path and time in ms (None in a table without times) of some rows."""
    wanted, found, first = np.unique(np.fromiter(rows, np.int64)), {}, 0
    for paths, times in table.places():
        low, high = np.searchsorted(wanted, [first, first + len(paths)])
        for row in wanted[low:high].tolist():
            time = None if times is None else float(times[row - first])
            found[row] = (str(paths[row - first]), time)
        first += len(paths)
    return found
