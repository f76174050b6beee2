"""Some files to one table: each is embedded as a stream, and those that could be read have rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from selfie_hear.api import evaluating
from selfie_hear.audio import AudioError, printable, stream_audio
from selfie_hear.embedder import Embedder
from selfie_hear.tables import Table


class Listener:
    """Embeds files as they stream past and says how far it is."""

    def __init__(self, model: Embedder, report: Callable[[float, float], None]) -> None:
        """
        Args:
            report: called with the number of files done (and the part of the one at hand) and the seconds heard.
        """
        self.model = model
        self._report = report
        self._files = 0
        self._samples = 0

    def _blocks(self, path: Path) -> Iterator[torch.Tensor]:
        start = self._samples
        expected = _expected_samples(path, self.model.sample_rate)
        try:
            for block in stream_audio(path, self.model.sample_rate):
                yield torch.from_numpy(block)[None].to(self.model.device)
                self._samples += len(block)
                part = min(1.0, (self._samples - start) / expected)
                self._report(self._files + part, self._samples / self.model.sample_rate)
        finally:
            self._files += 1
            self._report(self._files, self._samples / self.model.sample_rate)

    def scene(self, path: Path) -> np.ndarray:
        """Scene embedding `(D,)` of a file.

        Raises:
            AudioError: see `stream_audio`.
        """
        with evaluating(self.model):
            return self.model.scene(self._blocks(path))[0].cpu().numpy()

    def timestamps(self, path: Path, write: Callable[[np.ndarray], object]) -> np.ndarray:
        """Hand a file's timestamp embeddings `(t, D)` to `write`, piece by piece; returns all their centres in ms."""
        before = self._samples
        with evaluating(self.model):
            for piece in self.model.timestamps(self._blocks(path)):
                write(piece[0].cpu().numpy())
        return np.array(self.model.grid.centres_ms(self._samples - before))


def _expected_samples(path: Path, sample_rate: int) -> float:
    """What the header says, for the progress bar; infinite where it says nothing."""
    try:
        about = soundfile.info(os.fsencode(path))
    except (soundfile.SoundFileError, TypeError):  # reading it will say what is wrong
        return float("inf")
    samples: float = about.frames * sample_rate / about.samplerate
    return max(1.0, samples)


def embed_files(listener: Listener, files: Sequence[Path], table: Table, timestamps: bool) -> list[AudioError]:
    """Embed `files` into `table`; a file that cannot be read whole leaves no trace there.

    Returns:
        what was wrong with the files that are not in the table.
    """
    failures: list[AudioError] = []
    for path in files:
        try:
            if timestamps:
                _add_timestamps(listener, path, table)
            else:
                table.add(printable(path), None, listener.scene(path)[None])
        except AudioError as error:
            failures.append(error)
    return failures


def _add_timestamps(listener: Listener, path: Path, table: Table) -> None:
    """By way of a temporary file: hours of frames do not fit in memory, and the last block may prove the file bad."""
    with tempfile.TemporaryFile(dir=table.path.parent) as spool:
        times = listener.timestamps(path, lambda piece: spool.write(piece.tobytes()))
        spool.flush()
        shape = (len(times), listener.model.timestamp_embedding_size)
        table.add(printable(path), times, np.memmap(spool, np.float32, "r", shape=shape))
