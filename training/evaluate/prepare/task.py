"""Labelled clips to a scene task in the layout of hear-eval-kit: task_metadata.json, SPLIT.json, 16000/SPLIT/*.wav."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import soundfile

from selfie_hear.audio import AudioError, printable, read_audio
from training.files import whole_folder, write_whole

RATE = 16000  # Hz
TRAIN_VALID_TEST = ("train", "valid", "test")
BATCH = 32  # clips that a thread does between two reports


class PrepareError(ValueError):
    """A data set that no task can be made of; the message says what was found and what is accepted."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled sound: the audio file, or the tar and the member in it; `file` is its name in the task."""

    path: Path
    split: str
    label: str
    file: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that no clip could be made of."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Written:
    """How many clips a task has so far, how many were left out, and of how many."""

    clips: int
    rejected: int
    listed: int


def folds(count: int) -> tuple[str, ...]:
    """The splits of a task with so many folds: fold00, fold01, ..."""
    return tuple(f"fold{number:02d}" for number in range(count))


def write_task(
    out: Path,
    name: str,
    found: Iterable[Clip | Rejected],
    seconds: float,
    splits: tuple[str, ...],
    workers: int | None = None,
    report: Callable[[Written], None] = lambda _: None,
    notes: str = "",
) -> Written:
    """Write the folder `out/name`, which appears when it is complete or not at all.

    Clips become mono 16-bit WAV at 16 kHz, cut at the end to `seconds` or padded there with zeros. Those that cannot
    be read whole are left out and listed in `rejected.csv`. What is written does not depend on `workers`.

    Args:
        found: the clips, and what is known already not to be one.
        splits: `TRAIN_VALID_TEST`, or the folds of a cross-validation, see `folds`.
        workers: threads; default: one per core.
        report: called after every few clips.

    Raises:
        PrepareError: the folder exists, nothing could be read, a split is empty, all clips have one label, a label is
            not in training, or two clips have one file or one name.
    """
    folder = out / name
    if folder.exists() or folder.is_symlink():
        raise PrepareError(f"{folder}: exists already; name another folder or delete it")
    items = list(found)
    clips = [item for item in items if isinstance(item, Clip)]
    rejected = [item for item in items if isinstance(item, Rejected)]
    _refuse_twins(name, clips)
    _refuse_gaps(name, clips, splits, rejected)
    kept: list[Clip] = []
    with whole_folder(folder) as partial:
        for split in splits:
            (partial / str(RATE) / split).mkdir(parents=True)
        batches = _in_threads(clips, partial / str(RATE), round(seconds * RATE), workers or os.cpu_count() or 1)
        with closing(batches):
            for batch in batches:
                kept += [clip for clip, reason in batch if not reason]
                rejected += [Rejected(clip.path / clip.member, reason) for clip, reason in batch if reason]
                report(Written(len(kept), len(rejected), len(items)))
        _refuse_gaps(name, kept, splits, rejected)
        _describe(partial, name, kept, splits, seconds, notes)
        reasons = sorted((printable(item.path), item.reason) for item in rejected)
        _write_csv(partial / "rejected.csv", ["path", "reason"], reasons)
    return Written(len(kept), len(rejected), len(items))


def _refuse_twins(name: str, clips: Sequence[Clip]) -> None:
    sources = Counter((clip.path, clip.member) for clip in clips)
    names = Counter((clip.split, clip.file) for clip in clips)
    for clip in clips:
        if sources[clip.path, clip.member] > 1:
            raise PrepareError(f"{name}: {printable(clip.path / clip.member)} is listed twice")
        if names[clip.split, clip.file] > 1:
            raise PrepareError(f"{name}: two clips of {clip.split} would be named {printable(clip.file)}")


def _refuse_gaps(name: str, clips: Sequence[Clip], splits: Sequence[str], rejected: Sequence[Rejected]) -> None:
    """There are two labels, each split has clips, and in each fold training has the labels of validation and test."""
    first = f"{printable(rejected[0].path)}: {rejected[0].reason}" if rejected else ""
    why = f"; {len(rejected)} files were left out, the first: {first}" if rejected else ""
    if not clips:
        raise PrepareError(f"{name}: has no clip{why}")
    labels = {split: {clip.label for clip in clips if clip.split == split} for split in splits}
    if empty := [split for split in splits if not labels[split]]:
        raise PrepareError(f"{name}: has no clip in the split {empty[0]}{why}")
    if len(names := set[str]().union(*labels.values())) == 1:
        raise PrepareError(f"{name}: all clips have the label {names.pop()!r}; a task needs two or more{why}")
    # As in hear-eval-kit, the fold after the test fold validates.
    whole = splits == TRAIN_VALID_TEST
    held = [splits[1:]] if whole else [(splits[(n + 1) % len(splits)], test) for n, test in enumerate(splits)]
    for tried in held:
        trained = set[str]().union(*(labels[split] for split in splits if split not in tried))
        for split in tried:
            if lacking := sorted(labels[split] - trained):
                training = "train" if whole else f"the training that goes with the test fold {tried[1]}"
                raise PrepareError(f"{name}: {split} has the label {lacking[0]!r}, {training} has not{why}")


Done = list[tuple[Clip, str]]  # with the reason why it could not be read, or nothing


def _in_threads(clips: Sequence[Clip], folder: Path, samples: int, workers: int) -> Generator[Done, None, None]:
    """Batch by batch, in order. Decoding and resampling leave Python's lock free, so threads are enough."""
    with ThreadPoolExecutor(workers) as pool:  # closed before its end, it waits for what was begun and drops the rest
        yield from pool.map(lambda batch: _write_clips(batch, folder, samples), _batches(clips))


def _batches(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """A few clips each; members of a tar are together and of no other, as it is read from the start."""
    for _, group in groupby(clips, key=lambda clip: clip.path if clip.member else None):
        together = list(group)
        yield from (together[n : n + BATCH] for n in range(0, len(together), BATCH))


def _write_clips(clips: Sequence[Clip], folder: Path, samples: int) -> Done:
    done = []
    for clip, path in _unpacked(clips):
        try:
            audio = read_audio(path, RATE)[:samples]
        except AudioError as error:
            opening = f"Error opening {os.fsencode(path)!r}: "  # libsndfile's: the name may be a temporary file's
            done.append((clip, str(error).removeprefix(f"{printable(path)}: ").replace(opening, "")))
            continue
        _write_wav(folder / clip.split / clip.file, np.pad(audio, (0, samples - len(audio))))
        done.append((clip, ""))
    return done


def _write_wav(path: Path, audio: np.ndarray) -> None:
    try:
        integers = np.clip(np.rint(audio * 32768.0), -32768, 32767).astype(np.int16)
        soundfile.write(path, integers, RATE, "PCM_16", format="WAV")
    except soundfile.SoundFileError as error:
        raise OSError(f"{printable(path)}: cannot be written ({error})") from error


def _unpacked(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Path]]:
    """Each clip and where its audio is while it is looked at."""
    if not clips[0].member:
        yield from ((clip, clip.path) for clip in clips)
        return
    with tarfile.open(clips[0].path) as tar, tempfile.TemporaryDirectory() as scratch:
        for clip in clips:
            content = tar.extractfile(clip.member)
            assert content is not None  # for the type checker: it is a file
            path = Path(scratch, "clip")
            with path.open("wb") as copy:
                shutil.copyfileobj(content, copy)
            yield clip, path


def _describe(
    folder: Path, name: str, clips: Sequence[Clip], splits: Sequence[str], seconds: float, notes: str
) -> None:
    """Everything beside the audio, with the keys that hear-preprocess writes."""
    about = {
        "task_name": name,
        "version": "v1.0.0",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest" if splits == TRAIN_VALID_TEST else "presplit_kfold",
        "sample_duration": seconds,
        "evaluation": ["top1_acc"],
        "default_mode": "full",
        "mode": "full",
        "splits": splits,
        "max_task_duration_by_split": dict.fromkeys(splits),
        "notes": notes,
        **({} if splits == TRAIN_VALID_TEST else {"nfolds": len(splits)}),
    }
    write_whole(folder / "task_metadata.json", json.dumps(about, indent=1) + "\n")
    labels: dict[str, dict[str, list[str]]] = {split: {} for split in splits}
    for clip in sorted(clips, key=lambda clip: clip.file):
        labels[clip.split][clip.file] = [clip.label]
    for split, files in labels.items():
        write_whole(folder / f"{split}.json", json.dumps(files) + "\n")
    _write_csv(folder / "labelvocabulary.csv", ["idx", "label"], enumerate(sorted({clip.label for clip in clips})))


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
