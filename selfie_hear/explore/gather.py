"""Sounds and their embeddings, from a table of them or fresh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selfie_hear.audio import AudioError, printable
from selfie_hear.corpus import Listener
from selfie_hear.embeddings_file import read_embeddings
from selfie_hear.explore.page import PageError
from selfie_hear.tables import TABLES


def is_table(path: Path) -> bool:
    """Whether a path is that of embeddings, a table or the folder of a collection, rather than of sounds."""
    return path.suffix.lower() in TABLES or (path / "_plan.json").is_file()


def read_sounds(table: Path) -> tuple[list[str], np.ndarray]:
    """Paths `n`, found from here or else from the table's own folder, and scene embeddings `(n, D)` of a table.

    Raises:
        PageError: it holds timestamp embeddings.
        TableError: see `read_embeddings`.
    """
    read = read_embeddings(table)
    if read.times_ms is not None:
        raise PageError(
            f"{printable(table)}: holds an embedding every few ms, and a map needs one of each sound; embed without "
            "--timestamps, or give the recording itself for a timeline"
        )
    return [_place(str(path), table) for path in read.paths], read.values


def _place(path: str, table: Path) -> str:
    beside = os.path.join(table.parent, path)  # noqa: PTH118 - any bytes
    return beside if os.path.exists(beside) and not os.path.exists(path) else path  # noqa: PTH110


def embed_sounds(files: Sequence[Path], listener: Listener) -> tuple[list[str], np.ndarray, list[AudioError]]:
    """Paths and scene embeddings `(n, D)` of the files that can be read, and what was wrong with the others."""
    paths, rows, failures = [], [], []
    for file in files:
        try:
            rows.append(listener.scene(file))
            paths.append(os.fspath(file))
        except AudioError as error:
            failures.append(error)
    return paths, np.array(rows, np.float32).reshape(len(rows), listener.model.scene_embedding_size), failures
