"""Sources of ramps, whose every sample says where it comes from, and what became of them in a pack."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile

from training.corpus.shards import Pack

RATE = 8000


def ramp(path: Path, start: int, count: int) -> np.ndarray:
    """Write 16-bit samples that count upwards, so that every sample says where it comes from."""
    samples = np.arange(start, start + count, dtype=np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return samples


def ramps(folder: Path, count: int, length: int = 100) -> Path:
    folder.mkdir()
    for number in range(count):
        ramp(folder / f"{number:03d}.wav", 100 * number, length)
    return folder


def of_clips(count: int, length: int = 100) -> int:
    """`shard_bytes` for shards of `count` of these ramps."""
    return count * (44 + 2 * length)


def index_of(folder: Path) -> list[dict[str, str | int]]:
    return list(pq.read_table(folder / "index.parquet").to_pylist())


def rejected_of(folder: Path) -> dict[str, str]:
    with (folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def clips_of(folder: Path) -> dict[str, list[int]]:
    pack = Pack(folder)
    pack.verify()
    names = [str(row["path"]) for row in index_of(folder)]
    return {Path(name).name: pack.cut(n, 0, int(pack.samples[n])).tolist() for n, name in enumerate(names)}


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
