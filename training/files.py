"""Files and folders that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Of this user, for what can be made again; `XDG_CACHE_HOME` moves it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfie_hear"


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


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `out`, or goes if anything is raised."""
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
