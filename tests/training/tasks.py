"""Small tasks in hear-eval-kit's layout, and HEAR modules, made for tests."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 16000
TRAINVALTEST = ("train", "valid", "test")
FOLDS = ("fold00", "fold01", "fold02")


def make_task(
    folder: Path,
    mode: str = "presplit_kfold",
    labels: Sequence[str] = ("low", "high"),
    *,
    multilabel: bool = False,
    splits: Sequence[str] = (),
    clips: int = 12,
    seconds: float = 0.5,
) -> Path:
    """A tone in a little noise for each label that a clip has; labels are an octave and a half apart.

    Args:
        mode: presplit_kfold (three folds, if `splits` is not given) or trainvaltest.
        multilabel: clip n has the labels that are set in the bits of n, so clip 0 has none; else labels take turns.
        clips: of each split.
    """
    splits = splits or (TRAINVALTEST if mode == "trainvaltest" else FOLDS)
    generator = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    for split in splits:
        (folder / "16000" / split).mkdir(parents=True)
        names: dict[str, list[str]] = {}
        for number in range(clips):
            chosen = [n for n in range(len(labels)) if (number >> n & 1 if multilabel else number % len(labels) == n)]
            clip = generator.normal(0, 0.02, len(time))
            for n in chosen:
                clip += 0.2 * np.sin(2 * np.pi * generator.uniform(300, 330) * 3**n * time)
            soundfile.write(folder / "16000" / split / f"{number:02}.flac", clip, RATE)
            names[f"{number:02}.flac"] = [labels[n] for n in chosen]
        (folder / f"{split}.json").write_text(json.dumps(names))
    (folder / "labelvocabulary.csv").write_text("idx,label\n" + "".join(f"{n},{x}\n" for n, x in enumerate(labels)))
    about = {
        "embedding_type": "scene", "prediction_type": "multilabel" if multilabel else "multiclass",
        "split_mode": mode, "sample_duration": seconds, "splits": list(splits),
    }  # fmt: skip
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder


def make_silence(folder: Path, **changes: Any) -> Path:
    """Three splits of two clips of a tenth of a second.

    Args:
        changes: of the metadata.
    """
    about = {
        "task_name": folder.name, "embedding_type": "scene", "prediction_type": "multiclass", "sample_duration": 0.1,
        "split_mode": "trainvaltest", "splits": ["train", "valid", "test"], "evaluation": ["top1_acc"], **changes,
    }  # fmt: skip
    for split in about["splits"]:
        (folder / "16000" / split).mkdir(parents=True)
        for name in ("a.wav", "b.wav"):
            soundfile.write(folder / "16000" / split / name, np.zeros(1600), 16000)
        (folder / f"{split}.json").write_text(json.dumps({"a.wav": ["low"], "b.wav": ["high"]}))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n")
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder


def describe(folder: Path, **changes: Any) -> None:
    """Change values in the metadata of a task."""
    path = folder / "task_metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


SIMPLE = """
import torch

CALLS = []  # the number of clips of each


class Model(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 3, 3

    def __init__(self, path, scale):
        super().__init__()
        self.path, self.scale = path, torch.nn.Parameter(torch.tensor(scale))


def load_model(model_file_path="", scale=1.0):
    return Model(model_file_path, scale)


def get_scene_embeddings(audio, model):
    CALLS.append(len(audio))
    loudest = audio.abs().amax(1)
    return torch.stack([audio.mean(1), audio.std(1, correction=0), (audio / loudest[:, None]).mean(1)], 1) * model.scale


def get_timestamp_embeddings(audio, model):
    raise NotImplementedError
"""


def make_module(folder: Path, name: str, source: str = SIMPLE) -> Path:
    """A HEAR module to import: the mean, the deviation and the scaled mean of a clip; not a number if it is silent."""
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    importlib.invalidate_caches()
    return path
