"""Files and folders that appear under their name when they are complete, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selfie_hear.files import appears_whole, partial_path, write_whole

__all__ = ["appears_whole", "cache_folder", "whole_folder", "write_whole"]


def cache_folder() -> Path:
    """Of this user, for what can be made again; `XDG_CACHE_HOME` moves it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfie_hear"


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `out`, or goes if anything is raised."""
    partial = partial_path(out)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
