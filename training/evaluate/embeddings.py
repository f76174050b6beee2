"""Embeddings of the clips of a task, kept in a file for each model: a clip is embedded once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import soundfile

from selfie_hear.audio import AudioError, read_audio
from training.evaluate.models import HearModel
from training.evaluate.tasks import SceneTask, TaskError

BATCH_SECONDS = 120.0  # of audio embedded at once

Report = Callable[[int, int], None]


class EmbeddingCache:
    """Embeddings by digest of the clip, in `FOLDER/DIGEST OF THE MODEL.sqlite`; several processes may use it.

    Everything raises TaskError where the file is of another kind, is damaged or cannot be written.
    """

    def __init__(self, folder: Path, model: HearModel) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._size = folder / f"{model.digest}.sqlite", model.size
        with self._open() as base:
            base.execute("CREATE TABLE IF NOT EXISTS embeddings (clip TEXT PRIMARY KEY, vector BLOB NOT NULL)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=60.0)) as base, base:
                yield base
        except sqlite3.Error as error:
            raise TaskError(f"{self._path}: cannot be used as a cache ({error}); delete it, or name another") from error

    def read(self, clips: Sequence[str], out: np.ndarray) -> np.ndarray:
        """Fill the rows of `out` `(clips, D)` that are known; returns which are, `(clips,)` bool."""
        known = np.zeros(len(clips), bool)
        with self._open() as base:
            for row, clip in enumerate(clips):
                found = base.execute("SELECT vector FROM embeddings WHERE clip = ?", (clip,)).fetchone()
                if found and len(found[0]) != out.itemsize * self._size:
                    raise sqlite3.DatabaseError(f"{len(found[0])} bytes where an embedding should be")
                if found:
                    out[row], known[row] = np.frombuffer(found[0], np.float32), True
        return known

    def write(self, clips: Sequence[str], vectors: np.ndarray) -> None:
        """All of them or none."""
        rows = [(clip, vector.tobytes()) for clip, vector in zip(clips, vectors, strict=True)]
        with self._open() as base:
            base.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)


def embed_task(
    task: SceneTask, model: HearModel, cache: Path | None = None, report: Report = lambda _done, _all: None
) -> dict[str, np.ndarray]:
    """Scene embeddings, float32 `(clips, D)`, of each split, in the order of `task.splits`.

    Args:
        cache: a folder for what is embedded; killed, the next call goes on from there. None: nothing is kept.
        report: called with the number of clips that are done and of all.

    Raises:
        TaskError: a clip that cannot be read or has another rate, or an embedding that is not finite.
    """
    paths = [path for files in task.splits.values() for path in files]
    samples = round(task.seconds * model.sample_rate)
    out = np.empty((len(paths), model.size), np.float32)
    kept = EmbeddingCache(cache, model) if cache is not None else None
    names = [_digest(path, samples) for path in paths] if kept else [""] * len(paths)
    known = kept.read(names, out) if kept else np.zeros(len(paths), bool)
    report(int(known.sum()), len(paths))
    missing = np.flatnonzero(~known)
    size = max(1, round(BATCH_SECONDS / task.seconds))
    for start in range(0, len(missing), size):
        rows = missing[start : start + size]
        vectors = model.embed(np.stack([read_clip(paths[row], model.sample_rate, samples) for row in rows]))
        finite = np.isfinite(vectors).all(1)
        if not finite.all():
            raise TaskError(f"{model.name}: its embedding of {paths[rows[int(np.argmin(finite))]]} is not finite")
        out[rows] = vectors
        if kept:
            kept.write([names[row] for row in rows], vectors)
        report(int(known.sum()) + start + len(rows), len(paths))
    ends = np.cumsum([len(files) for files in task.splits.values()])
    return dict(zip(task.splits, np.split(out, ends[:-1]), strict=True))


def read_clip(path: Path, sample_rate: int, samples: int) -> np.ndarray:
    """A clip, mono, cut at its end or padded there with zeros: float32 `(samples,)`.

    Raises:
        TaskError: it cannot be read, or has another rate.
    """
    try:
        rate = soundfile.info(path).samplerate
        if rate != sample_rate:
            raise TaskError(f"{path}: its sample rate is {rate} Hz, the model takes {sample_rate} Hz")
        audio = read_audio(path, sample_rate)[:samples]
    except (AudioError, soundfile.SoundFileError) as error:
        raise TaskError(f"{path}: cannot be read ({error})") from error
    return np.pad(audio, (0, samples - len(audio)))


def _digest(path: Path, samples: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() + f" {samples}"
