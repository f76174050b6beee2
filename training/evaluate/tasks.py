"""Labelled scene tasks in the layout of hear-eval-kit: task_metadata.json, SPLIT.json, 16000/SPLIT/*."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


class TaskError(ValueError):
    """A task folder that cannot be used."""


@dataclass(frozen=True)
class SceneTask:
    """A task with one label a clip; `splits` maps a split to its (file, label) pairs."""

    name: str
    splits: dict[str, list[tuple[Path, str]]]
    folds: list[tuple[list[str], list[str], list[str]]]  # training, validation and test splits of each fold


def read_task(folder: Path, sample_rate: int) -> SceneTask | None:
    """The scene task in `folder`, or None where it is a task of another kind.

    Raises:
        TaskError: a missing file, or a clip with more than one label.
    """
    try:
        about = json.loads((folder / "task_metadata.json").read_text())
        if about["embedding_type"] != "scene" or about["prediction_type"] != "multiclass":
            return None
        folds = _folds(list(about["splits"]), about["split_mode"])
        labels = {split: json.loads((folder / f"{split}.json").read_text()) for split in about["splits"]}
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise TaskError(f"{folder}: not a task in hear-eval-kit's layout: {error}") from error
    splits: dict[str, list[tuple[Path, str]]] = {}
    for split, clips in labels.items():
        splits[split] = []
        for file, names in sorted(clips.items()):
            path = folder / str(sample_rate) / split / file
            if len(names) != 1 or not path.is_file():
                why = f"{len(names)} labels, one is needed" if path.is_file() else "no such file"
                raise TaskError(f"{path}: {why}")
            splits[split].append((path, names[0]))
    return SceneTask(folder.name, splits, folds)


def _folds(splits: list[str], mode: str) -> list[tuple[list[str], list[str], list[str]]]:
    if mode == "trainvaltest":
        return [(["train"], ["valid"], ["test"])]
    # The fold before the test fold validates; fold 0 is preceded by the last.
    pairs = [(splits[i], splits[i - 1]) for i in range(len(splits))]
    return [([s for s in splits if s not in (test, valid)], [valid], [test]) for test, valid in pairs]


def read_tasks(folder: Path, sample_rate: int) -> list[SceneTask]:
    """All scene tasks among the folders in `folder`.

    Raises:
        TaskError: there is none.
    """
    found = (read_task(path.parent, sample_rate) for path in sorted(folder.glob("*/task_metadata.json")))
    tasks = [task for task in found if task is not None]
    if not tasks:
        raise TaskError(f"{folder}: holds no scene tasks in hear-eval-kit's layout")
    return tasks
