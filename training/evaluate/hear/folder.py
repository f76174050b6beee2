"""A task's folder as hear-eval-kit reads it, checked before hours are spent on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from training.evaluate.hear.tasks import find_clips, read_splits
from training.evaluate.hear.tools import HearError

KINDS = ("scene", "event")


@dataclass(frozen=True)
class HearFolder:
    """A task on the disk.

    Attributes:
        folder: named as the task.
        kind: "scene" or "event".
        metrics: of hear-eval-kit; the first is the task's own, by which predictors are chosen.
        splits: split to the names of its clips.
    """

    folder: Path
    kind: str
    metrics: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]

    @property
    def name(self) -> str:
        return self.folder.name

    def digest(self, sample_rate: int) -> str:
        """SHA-256 of its tables and of its clips' names, sizes and times: the clips themselves may be 100,000."""
        total = hashlib.sha256(str(sample_rate).encode())
        for path in sorted((*self.folder.glob("*.json"), self.folder / "labelvocabulary.csv")):
            total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        for path in self._clips(sample_rate):
            about = path.stat()
            total.update(f"{path.parent.name}/{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
        return total.hexdigest()

    def check_clips(self, sample_rate: int) -> None:
        """
        Raises:
            HearError: clips that cannot be read, have another rate or channels, or not one length where the task
                says that they have.
        """
        lengths = set()
        for path in self._clips(sample_rate):
            try:
                about = soundfile.info(path)
            except (soundfile.SoundFileError, OSError) as error:
                raise HearError(f"{path}: cannot be read ({error})") from error
            if about.samplerate != sample_rate or about.channels != 1:
                found = f"{about.samplerate} Hz and {about.channels} channels"
                raise HearError(f"{path}: has {found}; the model takes mono at {sample_rate} Hz")
            lengths.add(about.frames)
        if len(lengths) > 1 and json.loads((self.folder / "task_metadata.json").read_text())["sample_duration"]:
            raise HearError(
                f"{self.folder}: clips of {min(lengths)} to {max(lengths)} samples, though task_metadata.json gives a "
                "sample_duration; hear-eval-kit batches them, so they must be of one length, or sample_duration null"
            )

    def _clips(self, sample_rate: int) -> list[Path]:
        if not (self.folder / str(sample_rate)).is_dir():
            rates = sorted(path.name for path in self.folder.iterdir() if path.name.isdigit())
            raise HearError(
                f"{self.folder}: has no folder {sample_rate} with clips at the model's rate"
                + (f"; it has {', '.join(rates)}" if rates else "")
            )
        problems: list[str] = []
        labels: dict[str, dict[str, list[str]]] = {
            split: {clip: [] for clip in clips} for split, clips in self.splits.items()
        }
        found = find_clips(self.folder, sample_rate, labels, problems)
        if problems:
            raise HearError(f"{self.folder}: {'; '.join(problems)}")
        return found


def read_hear_folders(tasks_dir: Path, only: Sequence[str] = ()) -> list[HearFolder]:
    """All tasks in a folder, by name, or those that are named.

    Raises:
        HearError: no such folder or task, or one that is not in the layout.
    """
    if not tasks_dir.is_dir():
        raise HearError(f"{tasks_dir}: no such folder")
    names = sorted(path.parent.name for path in tasks_dir.glob("*/task_metadata.json"))
    if not names:
        raise HearError(f"{tasks_dir}: holds no task, which is a folder with task_metadata.json")
    if unknown := [name for name in only if name not in names]:
        raise HearError(f"{tasks_dir}: no task {unknown[0]!r}; there are {', '.join(names)}")
    return [_read(tasks_dir / name) for name in names if not only or name in only]


def _read(folder: Path) -> HearFolder:
    problems: list[str] = []
    splits = {split: tuple(clips) for split, clips in read_splits(folder, problems).items()}
    problems += [f"{split}.json lists no clip" for split, clips in splits.items() if not clips and not problems]
    if not (folder / "labelvocabulary.csv").is_file():
        problems.append("labelvocabulary.csv is missing")
    try:
        about = json.loads((folder / "task_metadata.json").read_text(encoding="utf-8"))
        kind, metrics = about["embedding_type"], tuple(about["evaluation"])
        if kind not in KINDS or not metrics:
            problems.append(f"embedding_type {kind!r} and evaluation {metrics}; expected scene or event, and metrics")
        needed = ("task_name", "prediction_type", "split_mode", "sample_duration")
        problems += [f"task_metadata.json says nothing of {key!r}" for key in needed if key not in about]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"task_metadata.json cannot be used ({error!r})")
    if problems:
        raise HearError(f"{folder}: {'; '.join(problems)}")
    return HearFolder(folder, kind, metrics, splits)
