"""Batches of crops from a pack; batch n is a function of the seed and n, so a run resumes where it stopped."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from training.corpus.pack import FORMAT_VERSION, PackError, shard_name


class Crops:
    """Random crops of equal length from a folder that `pack` wrote.

    An epoch takes from each clip as many crops as it is long, rounded, at least one, in random order: every second
    of audio is as likely as any other. Clips shorter than a crop lie at a random place in silence.
    """

    def __init__(self, folder: Path, crop: int, margin: int, batch: int, seed: int) -> None:
        """
        Args:
            folder: a pack.
            crop: samples of a crop.
            margin: samples of real audio kept on either side of the crop for the windows of its outer mel frames.
            batch: crops in a batch.
            seed: of all draws.

        Raises:
            PackError: not a pack, another format version, or a shard that does not fit the index.
        """
        self.about = _read_about(folder)
        self.crop, self.margin, self.batch, self.seed = crop, margin, batch, seed
        self.index = _read_index(folder)
        self._shard = np.array([int(row["shard"]) for row in self.index])
        self._offset = np.array([int(row["offset"]) for row in self.index])
        self._samples = np.array([int(row["samples"]) for row in self.index])
        self._shards = [_open_shard(folder, n, self._end_of(n)) for n in range(int(self._shard.max()) + 1)]
        self._slots = np.repeat(
            np.arange(len(self.index)), np.maximum(1, np.rint(self._samples / crop)).astype(np.int64)
        )
        self._order: tuple[int, np.ndarray] = (-1, self._slots)

    @property
    def crops_per_epoch(self) -> int:
        return len(self._slots)

    @property
    def hours(self) -> float:
        return float(self._samples.sum()) / self.about["sample_rate"] / 3600

    def __getitem__(self, step: int) -> np.ndarray:
        """Batch `step`: int16 `(batch, margin + crop + margin)`."""
        out = np.zeros((self.batch, self.crop + 2 * self.margin), np.int16)
        generator = np.random.default_rng([self.seed, 1, step])
        for row, place in enumerate(range(step * self.batch, (step + 1) * self.batch)):
            clip = self._clip_at(place)
            length = int(self._samples[clip])
            low, high = sorted((0, length - self.crop))  # a short clip starts inside the crop
            start = int(generator.integers(low, high + 1)) - self.margin
            first, last = max(0, start), min(length, start + out.shape[1])
            offset = int(self._offset[clip])
            out[row, first - start : last - start] = self._shards[self._shard[clip]][offset + first : offset + last]
        return out

    def _clip_at(self, place: int) -> int:
        epoch, slot = divmod(place, len(self._slots))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, 0, epoch]).permutation(self._slots))
        return int(self._order[1][slot])

    def _end_of(self, shard: int) -> int:
        return int((self._offset + self._samples)[self._shard == shard].max())


def _read_about(folder: Path) -> dict[str, int]:
    try:
        about = json.loads((folder / "pack.json").read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise PackError(f"{folder}: not a folder made by `python -m training pack` ({error})") from error
    version = about.get("format_version") if isinstance(about, dict) else None
    if version != FORMAT_VERSION:
        raise PackError(f"{folder}: pack format {version}, this version reads {FORMAT_VERSION}; pack again")
    return dict(about)


def _read_index(folder: Path) -> list[dict[str, str]]:
    path = folder / "index.csv"
    if not path.is_file():
        raise PackError(f"{path}: missing; pack again")
    with path.open(newline="", encoding="utf-8") as file:
        index = list(csv.DictReader(file))
    if not index:
        raise PackError(f"{path}: lists no clips; pack again")
    return index


def _open_shard(folder: Path, number: int, samples: int) -> np.ndarray:
    path = folder / shard_name(number)
    if not path.exists() or path.stat().st_size != 2 * samples:
        raise PackError(f"{path}: missing or not {2 * samples} bytes long as the index says; pack again")
    return np.memmap(path, dtype="<i2", mode="r")


def describe(index: list[dict[str, str]], sample_rate: int) -> dict[str, Any]:
    """What a pack holds: clips, hours, and both by source and licence where its manifest names them."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in index:
        groups[row.get("source_repo") or row.get("source") or "", row.get("licence", "")].append(int(row["samples"]))
    hour = 3600 * sample_rate
    sources = [
        {"source": source, "licence": licence, "clips": len(samples), "hours": round(sum(samples) / hour, 4)}
        for (source, licence), samples in sorted(groups.items())
    ]
    return {"clips": len(index), "hours": sum(sum(s) for s in groups.values()) / hour, "sources": sources}
