"""k nearest neighbours on a labelled folder, to watch a run with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from selfie_hear import get_scene_embeddings
from selfie_hear.audio import AudioError, read_audio
from selfie_hear.config import ModelConfig
from selfie_hear.corpus import find_files
from selfie_hear.encoders import Encoder
from training.embedders import embedder_of
from training.evaluate.neighbours import standardise, vote
from training.evaluate.tasks import TaskError, read_task

CLIPS = 16  # read at once: 10 MB of clips of 10 s
ACCEPTED = "accepted is a multiclass scene task in hear-eval-kit's layout, or a folder with a sub-folder for each label"


@dataclass(frozen=True)
class LabelledFolder:
    """Clips, and for each its label and its group: a clip is compared with those of other groups only."""

    name: str
    paths: list[Path]
    labels: np.ndarray  # (n,) of str
    groups: np.ndarray  # (n,) of str


def read_labelled(folder: Path, sample_rate: int) -> LabelledFolder:
    """The clips of a scene task (grouped by split), or of a folder of folders (a clip is a group, a folder a label).

    Raises:
        TaskError: no such folder, another kind of task, a file that is missing, fewer than two labels, or a label
            with one group only, whose clips could never find their like.
    """
    if not folder.is_dir():
        raise TaskError(f"{folder}: no such folder; {ACCEPTED}")
    if (folder / "task_metadata.json").exists():
        task = read_task(folder, sample_rate)
        if task is None:
            raise TaskError(f"{folder}: a task of another kind; {ACCEPTED}")
        if task.multilabel:
            raise TaskError(f"{folder}: a multilabel task; {ACCEPTED}")
        clips = [
            (path, task.labels[label], split)
            for split, paths in task.splits.items()
            for path, label in zip(paths, task.truth[split].argmax(1), strict=True)
        ]
    else:
        clips = [(path, label, str(path)) for path, label in _find_clips(folder)]
    groups: dict[str, set[str]] = {}
    for _, label, group in clips:
        groups.setdefault(label, set()).add(group)
    if len(groups) < 2:
        raise TaskError(f"{folder}: clips of {len(groups)} labels, two or more are needed; {ACCEPTED}")
    lonely = sorted(label for label, members in groups.items() if len(members) < 2)
    if lonely:
        raise TaskError(
            f"{folder}: {', '.join(map(repr, lonely))}: all clips of the label in one group (split, or clip where "
            "there are no splits); two or more are needed, as a clip is compared with those of other groups only"
        )
    paths, labels, names = zip(*clips, strict=True)
    return LabelledFolder(folder.absolute().name, list(paths), np.array(labels), np.array(names))


def _find_clips(folder: Path) -> list[tuple[Path, str]]:
    clips = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        try:
            files, failures = find_files([str(place)])
        except AudioError:
            continue  # a folder without audio, such as one of notes, is no label
        if failures:
            raise TaskError(str(failures[0]))
        clips += [(path, place.name) for path in files]
    return clips


def knn_accuracy(embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, neighbours: int = 10) -> float:
    """Share of clips in % whose label is the one that their nearest neighbours in other groups vote for.

    Embeddings are standardised per dimension over all clips; neighbours vote as in `neighbours.vote`, labels in the
    order of the alphabet.

    Args:
        embeddings: `(n, D)`.
        labels, groups: `(n,)`.
        neighbours: how many vote; all there are where there are fewer. A clip without any counts as wrong.

    Returns:
        0 to 100; NaN if an embedding is not finite.
    """
    if not np.isfinite(embeddings).all():
        return float("nan")
    unit = standardise(embeddings, embeddings)
    truth = np.unique(labels, return_inverse=True)[1]
    members = np.unique(groups, return_inverse=True)[1]  # numbers compare much faster than paths
    answers = vote(unit, unit, truth, [neighbours], (members, members))
    return 100.0 * int((answers[0] == truth).sum()) / len(truth)


class Probe:
    """The accuracy of an encoder on a labelled folder, asked for every now and then; the encoder stays as it is."""

    def __init__(self, folder: Path, sample_rate: int, every: int) -> None:
        """
        Args:
            folder: see `read_labelled`, whose errors it raises.
            sample_rate: Hz, that of the encoders.
            every: steps from one probe to the next, for whoever calls.
        """
        if every < 1:
            raise TaskError(f"a probe every {every} steps; 1 or more are needed")
        self.clips = read_labelled(folder, sample_rate)
        self.sample_rate = sample_rate
        self.every = every

    def __call__(self, model: ModelConfig, encoder: Encoder) -> float:
        """Accuracy in % of the scene embeddings that a model with this encoder would give.

        Raises:
            AudioError: a file that cannot be read.
        """
        embedder = embedder_of(encoder, model)
        paths = self.clips.paths
        embeddings = np.empty((len(paths), embedder.scene_embedding_size), np.float32)
        for start in range(0, len(paths), CLIPS):
            few = [torch.from_numpy(read_audio(p, self.sample_rate)) for p in paths[start : start + CLIPS]]
            scenes = get_scene_embeddings([clip.to(embedder.device) for clip in few], embedder)
            embeddings[start : start + CLIPS] = scenes.cpu().numpy()
        return knn_accuracy(embeddings, self.clips.labels, self.clips.groups)
