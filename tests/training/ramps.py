"""A pack whose every sample says which clip and which place it comes from, and the crops of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from training.corpus.crops import Crops, SamplingConfig
from training.corpus.pack import pack

RATE = 8000
CROP, MARGIN, BATCH = 40, 7, 4
LENGTHS = (50, 110, 190, 20, 41, 40)
DOMAINS = ("bird", "bird", "speech", "speech", "wind", "")
EPOCH = 3  # batches: 12 crops


def pack_ramps(audio: Path) -> Path:
    """Clip c holds the samples 1000 (c + 1), 1000 (c + 1) + 1, ...; in several shards, with a manifest."""
    lines = ["path,domain,licence\n"]
    for clip, (length, domain) in enumerate(zip(LENGTHS, DOMAINS, strict=True)):
        ramp = np.arange(length, dtype=np.int16) + np.int16(1000 * (clip + 1))
        soundfile.write(audio / f"{clip}.wav", ramp, RATE, subtype="PCM_16")
        lines.append(f"{clip}.wav,{domain},CC0-1.0\n")
    (audio / "clips.csv").write_text("".join(lines))
    pack([audio / "clips.csv"], audio / "pack", RATE, workers=1, shard_bytes=300)
    assert len(list((audio / "pack").glob("audio-*.i16"))) > 1
    return audio / "pack"


def crops_of(folder: Path, batch: int = BATCH, seed: int = 0, margin: int = MARGIN, **sampling: Any) -> Crops:
    return Crops(folder, CROP, margin, batch, seed, SamplingConfig(**sampling))


def read_all(crops: Crops, step: int) -> np.ndarray:
    audio: np.ndarray = crops.read(step, np.arange(crops.batch)).audio.numpy()
    return audio


def source_of(row: np.ndarray) -> tuple[int, int]:
    """Clip of a crop, and the place in the clip at which the crop (without its margin) starts."""
    place = int(np.flatnonzero(row)[0])
    clip, sample = divmod(int(row[place]), 1000)
    return clip - 1, sample - place + MARGIN


class Clips:
    """A pack of silence, of clips of any number and length."""

    def __init__(self, samples: list[int], domains: list[str]) -> None:
        self.samples, self.domains = np.array(samples), np.array(domains)
        self.cuts: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self.samples)

    def column(self, _: str) -> tuple[list[str], np.ndarray]:
        values, which = np.unique(self.domains, return_inverse=True)
        return values.tolist(), which

    def cut(self, clip: int, first: int, last: int) -> np.ndarray:
        self.cuts.append((clip, first, last))
        return np.zeros(last - first, np.int16)
