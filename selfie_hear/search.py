"""Sounds like this one: the recordings, or moments of recordings, of a table that are most like a query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from selfie_hear.corpus import Listener
from selfie_hear.embedder import Embedder
from selfie_hear.embeddings_file import open_embeddings
from selfie_hear.nearest import Found, open_nearest, places_of
from selfie_hear.origin import Origin

APART_MS = 500.0  # of two moments of one recording; nearer ones are one moment
CROWD = 16  # rows looked at for each moment that is wanted, at first


class SearchError(ValueError):
    """A query that cannot be compared with a table; the message says why."""


class Hit(NamedTuple):
    """What was found."""

    path: str
    score: float  # cosine, 1 for the same
    time_ms: float | None  # centre of the moment; None in a table of scene embeddings


class SoundSearch:
    """A table of embeddings that can be asked what is like a sound.

    Attributes:
        table: see `EmbeddingsFile`.
    """

    def __init__(self, table: str | Path, *, measure: str = "standardised", engine: str = "numpy") -> None:
        """
        Args:
            table: what `selfie-hear embed` wrote: .npz, .csv, .parquet or the folder of a collection.
            measure: before the cosine is taken, "standardised" by the table's mean and standard deviation, "centred" by
                its mean, or "plain".
            engine: "numpy" reads the table for each call, "faiss" holds it in memory. Both are exact and agree.

        Raises:
            TableError: see `open_embeddings`.
            ConfigError: an unknown measure or engine.
            MissingExtraError: the engine's package is not installed.
        """
        self.table = open_embeddings(table)
        self._nearest = open_nearest(engine, self.table, measure)

    def like(self, files: Sequence[str | Path], embedder: Embedder, k: int = 10) -> list[list[Hit]]:
        """For each audio file the `k` most alike, best first; ties in the order of the table.

        In a table of timestamp embeddings these are moments, of one recording 500 ms or more apart, that are like the
        middle of the file, which should have half a second on each side: where a sound is cut off it is another sound.

        Raises:
            SearchError: the table was not made as this embedder embeds.
            AudioError: a file that cannot be read.
        """
        self.check(Origin.of(embedder, self.table.timestamps))
        listener = Listener(embedder, lambda *_: None)
        embed = _middle if self.table.timestamps else Listener.scene
        return self.nearest(np.stack([embed(listener, Path(file)) for file in files]), k)

    def check(self, origin: Origin) -> None:
        """
        Raises:
            SearchError: embeddings of this origin cannot be compared with the table's.
        """
        made = self.table.origin
        if made and (differences := made.differences(origin)):
            raise SearchError(f"{self.table.path}: holds {'; '.join(differences)}; use what it was made with")

    def nearest(self, queries: np.ndarray, k: int = 10) -> list[list[Hit]]:
        """For each of the embeddings `(q, D)` the `k` most alike.

        Raises:
            SearchError: of another size than the table's, or `k` below 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.table.size:
            raise SearchError(
                f"{self.table.path}: holds embeddings of {self.table.size} values, the queries are {queries.shape}; "
                "use the model and pooling that it was made with"
            )
        if k < 1:
            raise SearchError(f"k: expected 1 or more, got {k}")
        if not self.table.timestamps:
            found = self._nearest.top(queries, k)
            places = places_of(self.table, (row for one in found for row in one.rows))
            return [_hits(one, places) for one in found]
        return [self._moments(query[None], k) for query in queries]

    def _moments(self, query: np.ndarray, k: int) -> list[Hit]:
        count = CROWD * k
        while True:
            (found,) = self._nearest.top(query, count)
            hits = _apart(_hits(found, places_of(self.table, found.rows)), k)
            if len(hits) == k or len(found.rows) < count:
                return hits
            count *= 4


def _middle(listener: Listener, path: Path) -> np.ndarray:
    """Timestamp embedding `(D,)` in the middle of a file."""
    pieces: list[np.ndarray] = []
    listener.timestamps(path, pieces.append)
    frames: np.ndarray = np.concatenate(pieces)
    middle: np.ndarray = frames[len(frames) // 2]
    return middle


def _hits(found: Found, places: dict[int, tuple[str, float | None]]) -> list[Hit]:
    pairs = zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    return [Hit(path, score, time) for row, score in pairs for path, time in [places[row]]]


def _apart(hits: list[Hit], k: int) -> list[Hit]:
    """The first `k` hits that are `APART_MS` or more away from all better ones that were taken of their recording."""
    taken: list[Hit] = []
    times: dict[str, list[float]] = {}
    for hit in hits:
        near = times.setdefault(hit.path, [])
        time = hit.time_ms or 0.0
        if len(taken) < k and all(abs(time - other) >= APART_MS for other in near):
            taken.append(hit)
            near.append(time)
    return taken
