"""One shard of a collection: recordings to rows of a Parquet part, and what was wrong with the others."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import torch

from selfie_hear.api import evaluating, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.audio import AudioError, printable
from selfie_hear.corpus.decoding import Recording
from selfie_hear.corpus.plan import Collection
from selfie_hear.embedder import Embedder
from selfie_hear.files import appears_whole
from selfie_hear.origin import KEY
from selfie_hear.parquet_rows import GROUP_ROWS, ParquetRows, pyarrow_parquet

DETAILS = {"duration": "double", "digest": "string"}  # columns: seconds, SHA-256 of the file's bytes
MOST_CLIPS, MOST_SAMPLES = 256, 2**22  # that wait for others of their length


@dataclass
class Work:
    """What was done, and where the seconds went."""

    files: int = 0
    failed: int = 0
    audio: float = 0.0  # seconds that were heard
    waiting: float = 0.0  # for decoded audio
    embedding: float = 0.0
    writing: float = 0.0

    def add(self, other: Work) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @contextmanager
    def timed(self, what: str, recording: Recording | None = None) -> Iterator[None]:
        """Add the time of a block to `what`, less what it waited for the recording."""
        waited, started = recording.waited if recording else 0.0, time.perf_counter()
        yield
        less = recording.waited - waited if recording else 0.0
        setattr(self, what, getattr(self, what) + time.perf_counter() - started - less)


def clips_together(device: torch.device) -> int:
    """How many clips wait to be embedded together with others of their length."""
    return 1 if device.type == "cpu" else MOST_CLIPS


class _Clip(NamedTuple):
    """A recording that is short enough to be in memory."""

    recording: Recording
    audio: torch.Tensor


class Shard:
    """Rows and errors of some recordings, in their order."""

    def __init__(self, collection: Collection, number: int, embedder: Embedder, report: Callable[[Work], None]) -> None:
        """
        Args:
            report: called with what is done of this shard.
        """
        self._collection, self._number, self._embedder, self._report = collection, number, embedder, report
        self._settings = collection.plan.settings
        self._timestamps = self._settings.origin.kind == "timestamps"
        self._together = clips_together(embedder.device)
        self._errors: list[tuple[str, str]] = []
        self.work = Work()

    def write(self, recordings: Iterable[Recording]) -> Work:
        """Write the errors, if there are any, and then the part, which says that the shard is finished."""
        about = {KEY: self._settings.origin.to_json()}
        with appears_whole(self._collection.part(self._number)) as file:
            settings = self._settings
            self._rows = ParquetRows(file, settings.size, self._timestamps, about, settings.dtype, DETAILS)
            try:
                held: list[_Clip] = []
                for recording in recordings:
                    held = self._hear(recording, held)
                self._embed(held)
                finishing = time.perf_counter()
                self._rows.finish()
                self._write_errors()
            except BaseException:
                self._rows.discard()
                raise
        self.work.writing += time.perf_counter() - finishing
        return self.work

    def _hear(self, recording: Recording, held: list[_Clip]) -> list[_Clip]:
        """Embed a recording or put it with those that wait to be embedded together; returns these."""
        blocks = recording.blocks()
        try:
            first = list(islice(blocks, 2))
            if len(first) == 1:
                held = [*held, _Clip(recording, torch.from_numpy(first[0]))]
            else:
                self._embed(held)
                held = []
                self._embed_stream(recording, chain(first, blocks))
        except AudioError as error:
            self._fail(recording, str(error))
        self.work.waiting += recording.waited
        if len(held) >= self._together or sum(len(clip.audio) for clip in held) >= MOST_SAMPLES:
            self._embed(held)
            held = []
        return held

    def _embed(self, clips: list[_Clip]) -> None:
        """Those of one length go through an accelerator together."""
        if not clips:
            return
        audio = [clip.audio for clip in clips]
        with self.work.timed("embedding"):
            if self._timestamps:
                values = [v.cpu().numpy() for v in get_timestamp_embeddings(audio, self._embedder)[0]]
            else:
                values = list(get_scene_embeddings(audio, self._embedder).cpu().numpy()[:, None])
        for clip, rows in zip(clips, values, strict=True):
            self._add(clip.recording, [rows])

    def _embed_stream(self, recording: Recording, blocks: Iterable[np.ndarray]) -> None:
        """By way of a temporary file: hours of frames do not fit in memory, and the last block may prove a file bad."""
        tensors = (torch.from_numpy(block)[None].to(self._embedder.device) for block in blocks)
        with evaluating(self._embedder), tempfile.TemporaryFile(dir=self._collection.folder) as spool:
            with self.work.timed("embedding", recording):
                pieces = (
                    self._embedder.timestamps(tensors) if self._timestamps else [self._embedder.scene(tensors)[None]]
                )
                for piece in pieces:
                    spool.write(piece[0].cpu().numpy().tobytes())
            spool.seek(0)
            size = 4 * self._settings.size
            blocks_of_rows = iter(lambda: spool.read(GROUP_ROWS * size), b"")
            self._add(recording, (np.frombuffer(block, np.float32).reshape(-1, size // 4) for block in blocks_of_rows))

    def _add(self, recording: Recording, values: Iterable[np.ndarray]) -> None:
        duration, done = recording.samples / self._embedder.sample_rate, 0
        with self.work.timed("writing"):
            times = np.array(self._embedder.grid.centres_ms(recording.samples)) if self._timestamps else None
            for rows in values:
                own = None if times is None else times[done : done + len(rows)]
                self._rows.add(printable(recording.path), own, rows, duration, recording.digest)
                done += len(rows)
        self.work.files += 1
        self.work.audio += duration
        self._report(self.work)

    def _fail(self, recording: Recording, reason: str) -> None:
        path = printable(recording.path)
        self._errors.append((path, reason.removeprefix(f"{path}: ")))
        self.work.files += 1
        self.work.failed += 1
        self._report(self.work)

    def _write_errors(self) -> None:
        path = self._collection.errors(self._number)
        if not self._errors:
            path.unlink(missing_ok=True)  # of a run that was killed, when the file could not be read
            return
        arrow = pyarrow_parquet()
        schema = arrow.schema([("path", arrow.string()), ("reason", arrow.string())])
        with appears_whole(path) as file:
            paths, reasons = zip(*self._errors, strict=True)
            arrow.parquet.write_table(arrow.table({"path": paths, "reason": reasons}, schema=schema), file)
