"""One recording, of any length, as the data of a timeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from selfie_hear.audio import stream_audio
from selfie_hear.corpus import Listener
from selfie_hear.explore.collection import MEGABYTE, SCAFFOLD, PageOptions, link
from selfie_hear.explore.columns import Columns
from selfie_hear.explore.page import PageError, packed, to_json
from selfie_hear.explore.preview import MELS, RATE, mel_power, shade, to_mp3
from selfie_hear.explore.structure import find_structure

POINTS = 600  # columns that are compared with each other
STRIP = 1200  # columns of the spectrogram
LEVELS = {0.8: 5500, 0.9: 3300, 0.95: 2200}  # of MP3, and bytes a second, rounded up


def recording_data(path: Path, listener: Listener, options: PageOptions) -> tuple[dict[str, Any], list[str]]:
    """What the timeline page shows; memory grows with the recording only by its MP3, which is within the budget.

    Args:
        listener: its model makes the timestamp embeddings.

    Returns:
        JSON values, and remarks for the one who made it.

    Raises:
        AudioError: see `stream_audio`.
        PageError: the recording is shorter than four timestamps.
        MissingExtraError: scikit-learn is not installed.
    """
    columns = Columns(POINTS)
    times = listener.timestamps(path, columns.add)
    points = columns.value()
    if len(times) < 4:
        raise PageError(f"{path.name}: a timeline needs four timestamps or more, 0.2 s, got {len(times)}")
    strip, envelope, samples = _seen(path)
    step = columns.width * listener.model.grid.step / listener.model.sample_rate  # seconds a column
    structure = find_structure(points, step)
    seconds = samples / RATE
    starts = [0.0, *(round(change * step, 3) for change in structure.changes)]
    ends = [*starts[1:], round(seconds, 3)]
    data: dict[str, Any] = {
        "linked": options.linked_from is not None, "mels": MELS, "seconds": round(seconds, 3), "step": round(step, 6),
        "points": len(points), "spectrogram": packed(shade(strip)), "envelope": packed(_bytes(envelope)),
        "strip_step": round(seconds / len(strip), 6),
        "similarity": packed(_bytes((structure.similarity + 1.0) / 2.0)),
        "novelty": [round(float(value), 4) for value in structure.novelty],
        "parts": [
            {"start": start, "end": end, "group": group}
            for start, end, group in zip(starts, ends, structure.groups, strict=True)
        ],
    }  # fmt: skip
    if options.linked_from is not None:
        return {**data, "url": link(path, options.linked_from)}, []
    room = (options.bytes - SCAFFOLD - len(to_json(data))) * 3 // 4
    for level, rate in LEVELS.items():
        if seconds * rate <= room:
            return {**data, "audio": packed(to_mp3(stream_audio(path, RATE), level, constant=True))}, []
    need = SCAFFOLD + len(to_json(data)) + seconds * min(LEVELS.values()) * 4 / 3
    return data, [
        f"the recording is not in the page, which would be {need / MEGABYTE:.0f} MB; "
        "a greater --max-mb or --link-audio lets it play"
    ]


def _seen(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Mel power `(columns, MELS)` and level `(columns,)` in [0, 1] of the file, and its number of samples."""
    power, level, count = Columns(STRIP), Columns(STRIP), 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal count
        for block in stream_audio(path, RATE):
            count += len(block)
            squares = np.square(np.pad(block, (0, -len(block) % 160))).reshape(-1, 160)
            level.add(squares.mean(axis=1, keepdims=True))
            yield block

    for frames in mel_power(blocks()):
        power.add(frames)
    loud = np.sqrt(level.value()[:, 0])
    return power.value(), loud / max(float(loud.max()), 1e-9), count


def _bytes(values: np.ndarray) -> np.ndarray:
    shaded: np.ndarray = np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)
    return shaded
