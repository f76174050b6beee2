"""Reading data sets as they are distributed, and splitting by groups those that have no split."""

from __future__ import annotations

import csv
import glob
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from training.evaluate.prepare.task import PrepareError


def find(source: Path, names: Sequence[str], layout: str) -> Path:
    """The first of `source/NAME` that exists.

    Raises:
        PrepareError: none does; it says what is accepted: `layout`.
    """
    for name in names:
        if (source / name).exists():
            return source / name
    raise PrepareError(f"{source}: has no {' and no '.join(names)}; accepted is {layout}")


def audio_in(folder: Path, *patterns: str) -> list[Path]:
    """The files that match one of the patterns, sorted, without hidden ones such as macOS puts beside them."""
    found = (folder / name for pattern in patterns for name in glob.iglob(pattern, root_dir=folder, recursive=True))
    return sorted(path for path in found if path.is_file())


def read_text(path: Path) -> str:
    """A text file.

    Raises:
        PrepareError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PrepareError(f"{path}: cannot be read ({error})") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, with their numbers from 1."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The given columns of a CSV file, row by row.

    Raises:
        PrepareError: it cannot be read, or a column is missing or empty somewhere.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    rows = []
    for row in reader:
        values = tuple(row.get(column) or "" for column in columns)
        if not all(values):
            raise PrepareError(f"{path}: line {reader.line_num} lacks one of {', '.join(columns)}")
        rows.append(values)
    return rows


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        PrepareError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        if isinstance(error, PrepareError):
            raise
        raise PrepareError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise PrepareError(f"{path}: not a JSON object")
    return content


def split_of(group: str, train: float, valid: float) -> str:
    """The split that a group (a speaker, a preset) falls into; `train` and `valid` are shares, test has the rest.

    By a hash of its name: on any machine, and whatever other groups there are, a group falls into the same split.
    """
    place = int.from_bytes(hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2**64
    return "train" if place < train else "valid" if place < train + valid else "test"
