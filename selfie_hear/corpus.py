"""Many files to embeddings: find them, embed each as a stream, write a table of those that could be read."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from selfie_hear.api import evaluating
from selfie_hear.audio import EXTENSIONS, AudioError, stream_audio
from selfie_hear.embedder import Embedder
from selfie_hear.tables import Table


def find_files(paths: Sequence[str]) -> list[Path]:
    """Files of the given files, folders (searched for audio files) and globs, without repeats, in order.

    Raises:
        AudioError: a path that does not exist, or a folder or glob that holds nothing.
    """
    files: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
        elif path.exists():
            found = [path]
        else:
            matches = (Path(match) for match in glob.glob(text, recursive=True))
            found = sorted(p for p in matches if p.is_file())
        if not found:
            raise AudioError(f"{text}: no such file, and no audio files in a folder or glob of that name")
        files.update(dict.fromkeys(found))
    return list(files)


@dataclass
class Listener:
    """Embeds files as they stream past; counts the audio it has heard."""

    model: Embedder
    samples: int = 0

    def _blocks(self, path: Path) -> Iterator[torch.Tensor]:
        for block in stream_audio(path, self.model.sample_rate):
            self.samples += len(block)
            yield torch.from_numpy(block)[None].to(self.model.device)

    @property
    def seconds(self) -> float:
        return self.samples / self.model.sample_rate

    def scene(self, path: Path) -> np.ndarray:
        """Scene embedding `(D,)` of a file.

        Raises:
            AudioError: see `stream_audio`.
        """
        with evaluating(self.model):
            return self.model.scene(self._blocks(path))[0].cpu().numpy()

    def timestamps(self, path: Path, write: Callable[[np.ndarray], object]) -> np.ndarray:
        """Hand a file's timestamp embeddings `(t, D)` to `write`, piece by piece; returns all their centres in ms."""
        before = self.samples
        with evaluating(self.model):
            for piece in self.model.timestamps(self._blocks(path)):
                write(piece[0].cpu().numpy())
        return np.array(self.model.grid.centres_ms(self.samples - before))


def embed_files(
    model: Embedder, files: Sequence[Path], table: Table, timestamps: bool, report: Callable[[int, float], None]
) -> list[AudioError]:
    """Embed `files` into `table`; a file that cannot be read whole leaves no trace there.

    Args:
        report: called after each file with the number of files done and the seconds of audio heard.

    Returns:
        what was wrong with the files that are not in the table.
    """
    failures: list[AudioError] = []
    listener = Listener(model)
    for number, path in enumerate(files, start=1):
        try:
            if timestamps:
                _add_timestamps(listener, path, table)
            else:
                table.add(str(path), None, listener.scene(path)[None])
        except AudioError as error:
            failures.append(error)
        report(number, listener.seconds)
    return failures


def _add_timestamps(listener: Listener, path: Path, table: Table) -> None:
    """By way of a temporary file: hours of frames do not fit in memory, and the last block may prove the file bad."""
    with tempfile.TemporaryFile() as spool:
        times = listener.timestamps(path, lambda piece: spool.write(piece.tobytes()))
        spool.flush()
        shape = (len(times), listener.model.timestamp_embedding_size)
        table.add(str(path), times, np.memmap(spool, np.float32, "r", shape=shape))
