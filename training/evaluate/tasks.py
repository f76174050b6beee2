"""Labelled scene tasks in the layout of hear-eval-kit: task_metadata.json, labelvocabulary.csv, SPLIT.json, audio."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

LAYOUT = "task_metadata.json, labelvocabulary.csv, SPLIT.json and 16000/SPLIT/FILE"


class TaskError(ValueError):
    """A task folder, or an embedding of its clips, that cannot be used."""


@dataclass(frozen=True)
class Fold:
    """Names of splits."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class SceneTask:
    """A task that labels whole clips.

    Attributes:
        labels: the vocabulary.
        multilabel: whether a clip may have several labels, or none.
        seconds: to which clips are cut or padded; where the metadata has null, as FSD50K's, their mean length.
        splits: split to its files.
        truth: split to `(clips, labels)` of bool.
    """

    name: str
    labels: tuple[str, ...]
    multilabel: bool
    seconds: float
    splits: dict[str, list[Path]]
    truth: dict[str, np.ndarray]
    folds: tuple[Fold, ...]


def read_task(folder: Path, sample_rate: int) -> SceneTask | None:
    """The scene task in `folder`, or None where it is a task of another kind, which hear-eval-kit can judge.

    Raises:
        TaskError: a missing split, file or label, or not the layout.
    """
    metadata = folder / "task_metadata.json"
    about = _read_json(metadata)
    try:
        if about["embedding_type"] != "scene" or about["prediction_type"] not in ("multiclass", "multilabel"):
            return None
        names, mode, seconds = about["splits"], about["split_mode"], about["sample_duration"]
    except KeyError as error:
        raise TaskError(f"{metadata}: says nothing of {error}; the layout is {LAYOUT}") from error
    if not isinstance(names, list) or len({name for name in names if isinstance(name, str)}) < len(names):
        raise TaskError(f"{metadata}: splits must be a list of different names, got {names!r}")
    labels = _read_vocabulary(folder / "labelvocabulary.csv")
    multilabel = about["prediction_type"] == "multilabel"
    splits: dict[str, list[Path]] = {}
    truth: dict[str, np.ndarray] = {}
    for split in names:
        clips = _read_json(folder / f"{split}.json")
        if not clips:
            raise TaskError(f"{folder / split}.json: lists no clip")
        rows = [_row(folder / f"{split}.json", file, clips[file], labels, multilabel) for file in sorted(clips)]
        splits[split] = [folder / str(sample_rate) / split / file for file in sorted(clips)]
        truth[split] = np.stack(rows)
        if missing := next((path for path in splits[split] if not path.is_file()), None):
            raise TaskError(f"{missing}: no such file, though {split}.json lists it")
    seconds = _mean_seconds(splits) if seconds is None else seconds
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise TaskError(f"{metadata}: sample_duration must be seconds, or null for the mean length, got {seconds!r}")
    folds = _folds(folder, names, mode)
    for fold in folds:
        _refuse_unseen(folder, fold, truth, labels)
    return SceneTask(folder.name, labels, multilabel, float(seconds), splits, truth, folds)


def _mean_seconds(splits: dict[str, list[Path]]) -> float:
    try:
        return float(np.mean([soundfile.info(path).duration for files in splits.values() for path in files]))
    except soundfile.SoundFileError as error:
        raise TaskError(f"a clip cannot be read ({error})") from error


def _row(path: Path, file: str, names: Any, labels: tuple[str, ...], multilabel: bool) -> np.ndarray:
    names = [str(name) for name in (names if isinstance(names, list) else [names])]
    if unknown := next((name for name in names if name not in labels), None):
        raise TaskError(f"{path}: {file} has the label {unknown!r}, which is not in labelvocabulary.csv")
    if len(names) != 1 and not multilabel:
        raise TaskError(f"{path}: {file} has {len(names)} labels, in a multiclass task a clip has one")
    return np.array([label in names for label in labels])


def _refuse_unseen(folder: Path, fold: Fold, truth: dict[str, np.ndarray], labels: tuple[str, ...]) -> None:
    trained = np.concatenate([truth[split] for split in fold.train]).any(0)
    tested = np.concatenate([truth[split] for split in fold.test]).any(0)
    if not tested.any():
        raise TaskError(f"{folder}: no clip of {'+'.join(fold.test)} has a label, so it tests nothing")
    if (unseen := tested & ~trained).any():
        raise TaskError(f"{folder}: {'+'.join(fold.test)} tests {labels[int(unseen.argmax())]!r}, training has none")


def _folds(folder: Path, splits: list[str], mode: str) -> tuple[Fold, ...]:
    if mode == "trainvaltest":
        if missing := {"train", "valid", "test"} - set(splits):
            raise TaskError(f"{folder}: has no split {', '.join(sorted(missing))}; split_mode is trainvaltest")
        return (Fold(("train",), ("valid",), ("test",)),)
    if mode not in ("presplit_kfold", "new_split_kfold"):
        raise TaskError(f"{folder}: split_mode {mode!r}; known are trainvaltest, presplit_kfold, new_split_kfold")
    if len(splits) < 3:
        raise TaskError(f"{folder}: has {len(splits)} folds; to train, validate and test, three or more are needed")
    # As in hear-eval-kit: in the order of their names, the fold after the test fold validates.
    splits = sorted(splits)
    pairs = [(splits[i], splits[(i + 1) % len(splits)]) for i in range(len(splits))]
    return tuple(Fold(tuple(s for s in splits if s not in (test, valid)), (valid,), (test,)) for test, valid in pairs)


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = sorted((int(row["idx"]), row["label"]) for row in csv.DictReader(file, restval=""))
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise TaskError(f"{path}: missing, or not the columns idx and label ({error})") from error
    labels = tuple(label for _, label in rows)
    if [idx for idx, _ in rows] != list(range(len(rows))) or len({*labels} - {""}) < max(2, len(rows)):
        raise TaskError(f"{path}: two or more labels with idx 0, 1, 2, ... are needed, each once")
    return labels


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise TaskError(f"{path}: missing or not JSON ({error}); the layout is {LAYOUT}") from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}: not a JSON object; the layout is {LAYOUT}")
    return content


def read_tasks(folder: Path, sample_rate: int, only: tuple[str, ...] = ()) -> list[SceneTask]:
    """All scene tasks among the folders in `folder`, or those that are named.

    Raises:
        TaskError: there is none, one that is named is of another kind, or see `read_task`.
    """
    everything = [path.parent for path in sorted(folder.glob("*/task_metadata.json"))]
    named = list(dict.fromkeys(folder / name for name in only))
    if unknown := next((place for place in named if place not in everything), None):
        raise TaskError(f"{unknown}: no such task")
    tasks = []
    for place in named or everything:
        if task := read_task(place, sample_rate):
            tasks.append(task)
        elif named:
            raise TaskError(f"{place}: not a task that labels whole clips; hear-eval-kit can judge it")
    if not tasks:
        raise TaskError(f"{folder}: holds no scene tasks in hear-eval-kit's layout: NAME/{LAYOUT}")
    return tasks
