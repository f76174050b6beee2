"""A collection of sounds as the data of a map."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from selfie_hear.audio import AudioError, printable
from selfie_hear.explore.labels import NONE, grouping, read_labels, relative_names
from selfie_hear.explore.layout import directions, nearest, plane
from selfie_hear.explore.page import PageError, packed, to_json
from selfie_hear.explore.preview import MELS, Preview, read_preview, to_mp3

NEIGHBOURS = 10
FEWEST = 3  # sounds on a map
LEVEL = 0.8  # of MP3: about 4 kB a second
MEGABYTE = 1_000_000
SCAFFOLD = 200_000  # bytes of a page beside its data, at most


@dataclass(frozen=True)
class PageOptions:
    """How much of the sounds stands in a page.

    Attributes:
        seconds: of each sound, at most.
        most: size of the page, MB.
        linked_from: the page's folder, if it refers to the sound files where they are instead.
    """

    seconds: float = 3.0
    most: float = 50.0
    linked_from: Path | None = None

    def __post_init__(self) -> None:
        if not 0.1 <= self.seconds <= 60.0:
            raise PageError(f"--preview-seconds: expected 0.1 to 60, got {self.seconds:g}")
        if not 1.0 <= self.most < float("inf"):
            raise PageError(f"--max-mb: expected 1 or more, got {self.most:g}")

    @property
    def bytes(self) -> int:
        return round(self.most * MEGABYTE)


def collection_data(
    paths: Sequence[str | Path],
    embeddings: np.ndarray,
    options: PageOptions,
    labels: Path | None = None,
    report: Callable[[int], object] = lambda _: None,
) -> tuple[dict[str, Any], list[str]]:
    """What the map page shows.

    Args:
        paths: of n sounds, n >= 3; one that cannot be read stays on the map without its sound.
        embeddings: float32 `(n, D)`.
        labels: a CSV file, see `read_labels`.
        report: called with the number of sounds read.

    Returns:
        JSON values, and remarks for the one who made it: what is missing, what was left out.

    Raises:
        PageError: fewer than three sounds, values that are not finite, a budget too small for the map alone, or see
            `read_labels`.
        MissingExtraError: scikit-learn is not installed.
    """
    if len(paths) < FEWEST:
        raise PageError(f"a map needs three sounds or more, got {len(paths)}")
    if not np.isfinite(embeddings).all():
        raise PageError("the embeddings hold values that are not finite")
    root, names = relative_names([os.fspath(path) for path in paths])
    names = [printable(name) for name in names]
    groupings = [grouping("folder", [os.path.dirname(name) or NONE for name in names])]  # noqa: PTH120
    if labels is not None:
        groupings = [*read_labels(labels, [os.fspath(path) for path in paths], root), *groupings]
    unit = directions(embeddings)
    places = plane(unit)
    near = [row.tolist() for row in nearest(unit, NEIGHBOURS)]
    sounds: list[dict[str, Any]] = []
    remarks: list[str] = []
    for number, path in enumerate(paths):
        sound: dict[str, Any] = {
            "name": names[number],
            "x": round(float(places[number, 0]), 5),
            "y": round(float(places[number, 1]), 5),
            "near": [[row, round(cosine, 4)] for row, cosine in zip(near[0][number], near[1][number], strict=True)],
        }  # fmt: skip
        try:
            sound |= _heard(path, read_preview(Path(path), options.seconds), options)
        except AudioError as error:
            sound["missing"] = str(error).removeprefix(f"{printable(path)}: ")
            remarks.append(f"without its sound: {error}")
        sounds.append(sound)
        report(number + 1)
    data = {
        "linked": options.linked_from is not None, "mels": MELS,
        "groupings": [asdict(found) for found in groupings], "sounds": sounds, "left_out": 0,
    }  # fmt: skip
    return data, remarks + _keep_budget(data, options)


def _heard(path: str | Path, preview: Preview, options: PageOptions) -> dict[str, Any]:
    found = {
        "seconds": round(preview.seconds, 3), "start": round(preview.start, 3),
        "shown": round(len(preview.samples) / 16000, 3), "spectrogram": packed(preview.spectrogram),
    }  # fmt: skip
    if options.linked_from is None:
        return {**found, "audio": packed(to_mp3([preview.samples], LEVEL))}
    return {**found, "url": link(path, options.linked_from)}


def link(path: str | Path, page_folder: Path) -> str:
    """A relative address of a file, as a page in `page_folder` may refer to it."""
    return quote(
        os.fsencode(os.path.relpath(os.path.realpath(path), os.path.realpath(page_folder))).replace(b"\\", b"/")
    )


def _keep_budget(data: dict[str, Any], options: PageOptions) -> list[str]:
    """Take the sound away from every so many sounds, evenly, until the page is small enough."""
    heard = [sound for sound in data["sounds"] if "audio" in sound]
    sizes = np.array([len(sound["audio"]) for sound in heard], dtype=np.int64)
    bare = SCAFFOLD + len(to_json(data)) - int(sizes.sum())
    room = options.bytes - bare
    if room < 0:
        raise PageError(
            f"--max-mb: the map alone takes {bare / MEGABYTE:.1f} MB without any sound, and "
            f"{options.most:g} are allowed; allow more, or show fewer than {len(data['sounds'])} sounds"
        )
    if sizes.sum() <= room:
        return []
    # Halving steps (0, n/2, n/4, 3n/4 ...) so that what stays is spread over the collection.
    order = sorted(range(len(heard)), key=lambda number: (_reversed_bits(number, len(heard)), number))
    kept = int(np.searchsorted(np.cumsum(sizes[order]), room, side="right"))
    for number in order[kept:]:
        del heard[number]["audio"]
    data["left_out"] = len(heard) - kept
    seconds = options.seconds * room / float(sizes.sum())
    return [
        f"{len(heard) - kept} of {len(heard)} sounds are on the map but not in the page, which would be "
        f"{(bare + int(sizes.sum())) / MEGABYTE:.0f} MB; --preview-seconds {max(0.1, seconds):.1f}, "
        "a greater --max-mb or --link-audio gives all of them"
    ]


def _reversed_bits(number: int, count: int) -> int:
    width = max(1, (count - 1).bit_length())
    return int(f"{number:0{width}b}"[::-1], 2)
