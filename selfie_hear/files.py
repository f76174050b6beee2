"""Files that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appears_whole(path: Path) -> Iterator[io.BufferedRandom]:
    """A binary file to write; it is flushed to the disk and gets its name at the end, or goes if anything is raised."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # of a write that failed, so that it does not fill the disk


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    with appears_whole(path) as file:
        file.write(text.encode())
