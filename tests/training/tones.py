"""Labelled folders of low and high tones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def tone(path: Path, hertz: float, samples: int = 3000, rate: int = RATE) -> None:
    generator = np.random.default_rng(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate) + generator.normal(0, 0.003, samples)
    soundfile.write(path, wave, rate)


def make_folder(folder: Path) -> Path:
    """A folder a label; low and high tones of many lengths, one of them in a folder of its own."""
    for number in range(6):
        tone(folder / "low" / f"{number}.wav", 300 + 10 * number, 3000 + 100 * number)
        tone(folder / "high" / ("more/deep" if number == 5 else "") / f"{number}.flac", 3000 + 80 * number)
    return folder


def make_task(folder: Path) -> Path:
    splits = ["fold00", "fold01", "fold02"]
    for split in splits:
        for number in range(3):
            tone(folder / "16000" / split / f"low{number}.wav", 300 + 10 * number)
            tone(folder / "16000" / split / f"high{number}.wav", 3000 + 80 * number)
        names = {f"{label}{number}.wav": [label] for label in ("low", "high") for number in range(3)}
        (folder / f"{split}.json").write_text(json.dumps(names))
    about = {
        "embedding_type": "scene", "prediction_type": "multiclass", "split_mode": "presplit_kfold", "splits": splits,
        "sample_duration": 0.2,
    }  # fmt: skip
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n")
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder
