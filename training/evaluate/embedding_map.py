"""Embeddings of the clips of a task on a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selfie_hear.config import MissingExtraError
from training.evaluate.neighbours import standardise
from training.evaluate.tasks import SceneTask, TaskError

CLIPS = 2000
COMPONENTS = 50  # that t-SNE starts from (van der Maaten & Hinton 2008, section 4.2: 30)


def embedding_map(
    task: SceneTask,
    embedded: Mapping[str, np.ndarray],
    model: str,
    splits: Sequence[str] = (),
    clips: int = CLIPS,
    seed: int = 0,
) -> dict[str, Any]:
    """t-SNE of standardised embeddings, after PCA to 50 dimensions.

    Args:
        embedded: split to `(clips, D)`.
        model: its name.
        splits: whose clips are drawn; default: all test splits.
        clips: at most, drawn at random from all.

    Returns:
        a result of kind `map`: `model`, `task`, `method`, `labels`, `points` (x, y of each clip), `classes` (the
        index of each clip's label).

    Raises:
        TaskError: a multilabel task, a split that is not there, or fewer than three clips.
        MissingExtraError: scikit-learn is not installed.
    """
    if task.multilabel:
        raise TaskError(f"{task.name}: a multilabel task; on a map a clip has the colour of its only label")
    splits = list(splits) or [split for fold in task.folds for split in fold.test]
    if unknown := [split for split in splits if split not in task.splits or split not in embedded]:
        raise TaskError(f"{task.name}: has no split {unknown[0]!r}; known are {', '.join(task.splits)}")
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtraError("a map needs scikit-learn: pip install 'selfie_hear[train]'") from error
    vectors = np.concatenate([embedded[split] for split in splits])
    classes = np.concatenate([task.truth[split].argmax(1) for split in splits])
    chosen = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:clips])
    if len(chosen) < 3:
        raise TaskError(f"{task.name}: {len(chosen)} clips; a map needs three or more")
    values = standardise(vectors[chosen], vectors[chosen])
    few = min(COMPONENTS, *values.shape)
    reduced = PCA(few, svd_solver="full", random_state=seed).fit_transform(values)
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return {
        "kind": "map", "model": model, "task": task.name, "method": "t-SNE", "labels": list(task.labels),
        "points": [[round(float(value), 4) for value in point] for point in points],
        "classes": classes[chosen].tolist(),
    }  # fmt: skip
