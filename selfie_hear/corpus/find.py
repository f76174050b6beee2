"""Which audio files are meant by files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from selfie_hear.audio import EXTENSIONS, AudioError, printable


def find_files(paths: Sequence[str], extensions: Collection[str] = EXTENSIONS) -> tuple[list[Path], list[AudioError]]:
    """Files of the given files, folders (searched for audio files, hidden ones left out) and globs.

    Args:
        extensions: of the files that a folder is searched for, in lower case.

    Returns:
        each file once, in order, and the folders that could not be searched.

    Raises:
        AudioError: a path that does not exist, or a folder or glob that holds nothing.
    """
    files: dict[str, Path] = {}
    failures: list[AudioError] = []

    for text in paths:
        before = len(failures)
        if os.path.isdir(text):  # noqa: PTH112 - Path raises for names that the system cannot hold
            found = sorted(search_folder(text, extensions, failures))
        elif os.path.exists(text):  # noqa: PTH110
            found = [Path(text)]
        else:
            found = sorted(Path(match) for match in glob.glob(text, recursive=True) if Path(match).is_file())
        if not found and len(failures) == before:
            raise AudioError(f"{printable(text)}: no such file, and no audio files in a folder or glob of that name")
        for path in found:
            files.setdefault(os.path.realpath(path), path)
    return list(files.values()), failures


def search_folder(folder: str, extensions: Collection[str], failures: list[AudioError]) -> Iterator[Path]:
    """Audio files below a folder, hidden ones left out, in the order of their names folder by folder.

    Args:
        extensions: in lower case.
        failures: gets the folders that cannot be searched.
    """

    def fail(error: OSError) -> None:
        failures.append(AudioError(f"{printable(error.filename)}: cannot be searched ({error.strerror})"))

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in sorted(names) if not name.startswith(".")):
            if path.suffix.lower() in extensions and path.is_file():
                yield path
