"""Small collections of sounds to explore."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def tone(hertz: float, seconds: float = 0.5) -> np.ndarray:
    """A decaying tone, float32 `(n,)`."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.5 * np.exp(-2.0 * time / seconds) * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def write_tones(folder: Path, names: Sequence[str], seconds: float = 0.5) -> list[Path]:
    """A file for each name, each a little higher than the one before."""
    paths = []
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(200.0 * 1.1**number, seconds), RATE)
        paths.append(path)
    return paths


def embeddings(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    """Embeddings `(count, size)` in three crowds, one after the other."""
    draws = np.random.default_rng(seed)
    centres = draws.normal(0.0, 4.0, (3, size))
    return np.float32([centres[3 * row // count] + draws.normal(0.0, 0.3, size) for row in range(count)])
