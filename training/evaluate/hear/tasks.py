"""The 19 tasks of HEAR 2021 (Turian et al. 2022), and checks of such tasks on the disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import soundfile

ARCHIVE_RATE = 48000  # Hz, the only one on Zenodo
_T = TypeVar("_T")
_Splits = dict[str, dict[str, list[str]]]  # split: clip: labels


class HearTasksError(ValueError):
    """A task that cannot be fetched or checked; the message says what was found and what is accepted."""


@dataclass(frozen=True)
class HearTask:
    """A task of HEAR 2021; clips and primary metric as https://hearbenchmark.com/hear-tasks.html lists them."""

    title: str  # on the public leaderboard
    name: str  # of its folder
    clips: int
    metric: str

    @property
    def archive(self) -> str:
        return f"hear2021-{self.name}-{ARCHIVE_RATE}.tar.gz"


HEAR_TASKS = (
    HearTask("Beehive", "beehive_states_fold0-v2-full", 576, "AUCROC"),
    HearTask("Beijing Opera", "beijing_opera-v1.0-hear2021-full", 236, "Accuracy"),
    HearTask("CREMA-D", "tfds_crema_d-1.0.0-full", 7438, "Accuracy"),
    HearTask("DCASE 2016", "dcase2016_task2-hear2021-full", 72, "Onset FMS"),
    HearTask("ESC-50", "esc50-v2.0.0-full", 2000, "Accuracy"),
    HearTask("FSD50k", "fsd50k-v1.0-full", 51185, "mAP"),
    HearTask("GTZAN Genre", "tfds_gtzan-1.0.0-full", 1000, "Accuracy"),
    HearTask("GTZAN Music/Speech", "tfds_gtzan_music_speech-1.0.0-full", 128, "Accuracy"),
    HearTask("Gunshot", "gunshot_triangulation-v1.0-full", 88, "Accuracy"),
    HearTask("Libricount", "libricount-v1.0.0-hear2021-full", 5720, "Accuracy"),
    HearTask("Maestro 5h", "maestro-v3.0.0-5h", 185, "Onset FMS"),
    HearTask("Mridangam Stroke", "mridangam_stroke-v1.5-full", 6977, "Accuracy"),
    HearTask("Mridangam Tonic", "mridangam_tonic-v1.5-full", 6977, "Accuracy"),
    HearTask("NSynth Pitch 50h", "nsynth_pitch-v2.2.3-50h", 49060, "Pitch Acc."),
    HearTask("NSynth Pitch 5h", "nsynth_pitch-v2.2.3-5h", 5000, "Pitch Acc."),
    HearTask("Speech commands 5h", "speech_commands-v0.0.2-5h", 22890, "Accuracy"),
    HearTask("Speech commands full", "speech_commands-v0.0.2-full", 100503, "Accuracy"),
    HearTask("Vocal Imitation", "vocal_imitation-v1.1.3-full", 5601, "mAP"),
    HearTask("VoxLingua107 top 10", "vox_lingua_top10-hear2021-full", 972, "Accuracy"),
)
BY_NAME = {task.name: task for task in HEAR_TASKS}


@dataclass(frozen=True)
class TaskReport:
    """What a task's folder holds, and what is wrong with it."""

    name: str
    clips: int  # that its splits name
    hours: float  # of the clips that can be read
    problems: list[str]


def verify(folder: Path, sample_rate: int) -> list[TaskReport]:
    """Check each task in a folder, of HEAR 2021 or not, against its own metadata.

    Every file that the metadata and splits name is there, clips are at the rate, labels are in the vocabulary, no clip
    is in two splits, and a task of `HEAR_TASKS` has its number of clips.

    Args:
        folder: of the tasks, such as `out` of `fetch`.
        sample_rate: Hz, of the clips to check, which lie in `TASK/RATE/SPLIT`.

    Returns:
        a report for each task, by name; one without problems can be used.

    Raises:
        HearTasksError: no such folder, or no task in it.
    """
    if not folder.is_dir():
        raise HearTasksError(f"{folder}: no such folder")
    marks = ("task_metadata.json", "labelvocabulary.csv")
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and (path.name in BY_NAME or any((path / mark).exists() for mark in marks))
    ]
    if not found:
        raise HearTasksError(f"{folder}: holds no task, which is a folder with {' and '.join(marks)}")
    return [_check(path, sample_rate) for path in found]


def _load(path: Path, parse: Callable[[str], _T], problems: list[str]) -> _T | None:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path.name} is missing")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        problems.append(f"{path.name} cannot be read ({error!r})")
    return None


def read_splits(folder: Path, problems: list[str]) -> _Splits:
    def names(text: str) -> list[str]:
        return [f"{name}" for name in json.loads(text)["splits"]]

    def labels(text: str) -> dict[str, list[str]]:
        clips = json.loads(text).items()  # labels, or events that have one; numbers stand as text in the vocabulary
        return {clip: [str(one["label"] if isinstance(one, dict) else one) for one in all_] for clip, all_ in clips}

    splits = _load(folder / "task_metadata.json", names, problems) or []
    return {split: _load(folder / f"{split}.json", labels, problems) or {} for split in splits}


def _such_as(odd: Sequence[str], of: int, what: str, problems: list[str]) -> None:
    if odd:
        problems.append(f"{len(odd)} of {of} clips {what}, such as {odd[0]}")


def find_clips(folder: Path, rate: int, splits: _Splits, problems: list[str]) -> list[Path]:
    found = []
    for split, clips in splits.items():
        place = folder / str(rate) / split
        there = {path.name for path in place.iterdir()} if place.is_dir() else set()
        _such_as([clip for clip in clips if clip not in there], len(clips), f"are not in {rate}/{split}", problems)
        found += [place / clip for clip in clips if clip in there]
    return found


def _check(folder: Path, rate: int) -> TaskReport:
    problems: list[str] = []
    splits = read_splits(folder, problems)
    clips = [(split, clip) for split, labels in splits.items() for clip in labels]
    first: dict[str, str] = {}
    twice = [f"{clip} ({first[clip]}, {split})" for split, clip in clips if first.setdefault(clip, split) != split]
    _such_as(twice, len(clips), "are in two splits", problems)
    rows = _load(folder / "labelvocabulary.csv", lambda text: list(csv.DictReader(io.StringIO(text))), problems)
    if rows is not None:
        known = {row.get("label") for row in rows}
        odd = [f"{clip} ({min(new)!r})" for split, clip in clips if (new := set(splits[split][clip]) - known)]
        _such_as(odd, len(clips), "have a label that is not in labelvocabulary.csv", problems)
    hours, unreadable, other = 0.0, [], []
    for path in find_clips(folder, rate, splits, problems):
        name = f"{path.parent.name}/{path.name}"
        try:
            about = soundfile.info(path)
        except (soundfile.SoundFileError, OSError) as error:
            unreadable.append(f"{name} ({error})")
            continue
        hours += about.frames / about.samplerate / 3600
        if about.samplerate != rate:
            other.append(f"{name} ({about.samplerate} Hz)")
    _such_as(unreadable, len(clips), "cannot be read", problems)
    _such_as(other, len(clips), f"are not at {rate} Hz", problems)
    task = BY_NAME.get(folder.name)
    if task and task.clips != len(clips):
        problems.append(f"its splits name {len(clips)} clips, those of HEAR 2021 {task.clips}")
    return TaskReport(folder.name, len(clips), hours, problems)
