"""The nine tasks of SELFIE's and BYOL-A's linear evaluation, each from its data set as that is distributed.

Lengths are from BYOL-A (Niizumi et al. 2023), whose evaluation SELFIE (Nguyen et al.) repeats. A data set's layout and
split, and how published splits differ, are in the docstring of the function that finds its clips.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from training.evaluate.prepare.environment import find_esc50, find_urbansound8k
from training.evaluate.prepare.music import find_gtzan, find_nsynth, find_surge
from training.evaluate.prepare.speech import find_crema_d, find_speech_commands, find_voxceleb1
from training.evaluate.prepare.task import TRAIN_VALID_TEST, Clip, PrepareError, Rejected, Written, folds, write_task
from training.evaluate.prepare.voxforge import find_voxforge

__all__ = ["PREPARERS", "PrepareError", "Preparer", "Written", "prepare"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparer:
    """How a data set becomes a task."""

    name: str
    title: str
    url: str  # where the data set is to be had
    licence: str  # in a word
    seconds: float  # to which clips are cut or padded
    splits: tuple[str, ...]
    clips: int | None  # in the whole data set and split; None: not fixed
    find: Callable[[Path], Iterable[Clip | Rejected]]


PREPARERS: dict[str, Preparer] = {
    "esc50": Preparer(
        "esc50", "ESC-50: environmental sounds", "https://github.com/karolpiczak/ESC-50",
        "CC-BY-NC-3.0", 5.0, folds(5), 2000, find_esc50,
    ),
    "urbansound8k": Preparer(
        "urbansound8k", "UrbanSound8K: sounds of the city", "https://urbansounddataset.weebly.com/urbansound8k.html",
        "CC-BY-NC-3.0", 4.0, folds(10), 8732, find_urbansound8k,
    ),
    "speech_commands": Preparer(
        "speech_commands", "Speech Commands v0.02: words",
        "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        "CC-BY-4.0", 1.0, TRAIN_VALID_TEST, 105829, find_speech_commands,
    ),
    "voxceleb1": Preparer(
        "voxceleb1", "VoxCeleb1: speakers", "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
        "CC-BY-4.0", 8.2, TRAIN_VALID_TEST, 153516, find_voxceleb1,
    ),
    "voxforge": Preparer(
        "voxforge", "VoxForge: spoken languages", "http://www.voxforge.org",
        "GPL-3.0", 5.8, TRAIN_VALID_TEST, None, find_voxforge,
    ),
    "crema_d": Preparer(
        "crema_d", "CREMA-D: emotions in speech", "https://github.com/CheyneyComputerScience/CREMA-D",
        "ODbL-1.0", 2.5, TRAIN_VALID_TEST, 7442, find_crema_d,
    ),
    "gtzan": Preparer(
        "gtzan", "GTZAN, fault-filtered: genres of music", "http://marsyas.info/downloads/datasets.html",
        "not stated", 30.0, TRAIN_VALID_TEST, 930, find_gtzan,
    ),
    "nsynth": Preparer(
        "nsynth", "NSynth: families of instruments", "https://magenta.tensorflow.org/datasets/nsynth",
        "CC-BY-4.0", 4.0, TRAIN_VALID_TEST, 305979, find_nsynth,
    ),
    "surge": Preparer(
        "surge", "Surge: pitches of a synthesizer", "https://zenodo.org/record/4677097",
        "CC-BY-4.0", 4.0, TRAIN_VALID_TEST, 183392, find_surge,
    ),
}  # fmt: skip


def prepare(
    name: str,
    source: Path,
    out: Path,
    workers: int | None = None,
    report: Callable[[Written], None] = lambda _: None,
) -> Written:
    """Write the task `out/name` from a data set unpacked in `source`.

    Args:
        name: a key of `PREPARERS`.
        out: the folder of tasks, for `--tasks-dir` of `linear` and of heareval.
        workers: threads; default: one per core.
        report: called after every few clips.

    Raises:
        PrepareError: an unknown name, a source that is laid out otherwise, or see `write_task`.
    """
    if name not in PREPARERS:
        raise PrepareError(f"task {name!r}: known are {', '.join(PREPARERS)}")
    preparer = PREPARERS[name]
    if not source.is_dir():
        raise PrepareError(f"{source}: no such folder; name the one that {preparer.title} was unpacked in")
    notes = f"{preparer.title}; {preparer.licence}; {preparer.url}"
    done = write_task(out, name, preparer.find(source), preparer.seconds, preparer.splits, workers, report, notes)
    if preparer.clips and done.listed < preparer.clips:
        log.warning("%s: %d clips were found in %s; the whole set has %d", name, done.listed, source, preparer.clips)
    return done
