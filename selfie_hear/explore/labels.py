"""What is known of sounds: their folders, and the columns of a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfie_hear.audio import printable
from selfie_hear.explore.page import PageError

NONE = "(none)"


@dataclass(frozen=True)
class Grouping:
    """One thing that sounds can be coloured by.

    Attributes:
        of: for each sound the index of its category.
    """

    name: str
    categories: list[str]
    of: list[int]


def grouping(name: str, values: Sequence[str]) -> Grouping:
    """Categories in the order of the alphabet, sounds without one last."""
    categories = sorted(set(values), key=lambda value: (value == NONE, value))
    place = {category: number for number, category in enumerate(categories)}
    return Grouping(name, categories, [place[value] for value in values])


def relative_names(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that holds all of the paths, and the paths within it, with / between folders."""
    folders = [os.path.dirname(os.path.abspath(path)) for path in paths]  # noqa: PTH100, PTH120 - any bytes
    try:
        root = os.path.commonpath(folders)
    except ValueError:  # on several drives
        return "", [path.replace(os.sep, "/") for path in paths]
    return root, [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]


def read_labels(path: Path, sounds: Sequence[str], root: str) -> list[Grouping]:
    """The columns of a CSV file with a column `path`, as groupings of `sounds`.

    Args:
        sounds: their paths; a row names one by the same path, or by one from the file's own folder or from `root`.

    Raises:
        PageError: unreadable, no column `path` or no other, a sound twice, or none of the sounds.
    """
    name = printable(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", restkey="")
            header, rows = list(reader.fieldnames or []), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PageError(f"{name}: cannot be read as CSV in UTF-8 ({error})") from error
    columns = [column for column in header if column != "path"]
    if "path" not in header or not columns:
        found = ", ".join(header) or "none"
        raise PageError(f"{name}: needs a column 'path' and others to colour by; its columns are {found}")
    places = {os.path.realpath(sound): number for number, sound in enumerate(sounds)}
    of: dict[int, dict[str, str]] = {}
    for row in rows:
        for base in ("", path.parent, root):
            place = places.get(os.path.realpath(os.path.join(base, row["path"])))  # noqa: PTH118 - any bytes
            if place is not None:
                if of.setdefault(place, row) is not row:
                    raise PageError(f"{name}: names {row['path']} twice")
                break
    if not of:
        raise PageError(f"{name}: names none of the {len(sounds)} sounds; the first of them is {printable(sounds[0])}")
    return [
        grouping(column, [of[place][column] or NONE if place in of else NONE for place in range(len(sounds))])
        for column in columns
    ]


def check_labels(path: Path, sounds: Sequence[Path]) -> None:
    """Find what is wrong with a file of labels before any work is done for it; see `read_labels`."""
    if len(sounds) == 1:
        raise PageError("--labels goes with a map; a single recording has a timeline")
    names = [os.fspath(sound) for sound in sounds]
    read_labels(path, names, relative_names(names)[0])
