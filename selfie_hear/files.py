"""Files that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: Path) -> Path:
    """Where this process writes what becomes `path`; not much longer than 40 letters: names have a longest length."""
    return path.with_name(f".{path.name[:40]}.partial-{os.getpid()}")


@contextmanager
def appears_whole(path: Path) -> Iterator[io.BufferedRandom]:
    """A binary file to write; it is flushed to the disk and gets its name at the end, or goes if anything is raised.

    Of a link, the file that it names is replaced.
    """
    path = path.resolve()
    partial = partial_path(path)
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
