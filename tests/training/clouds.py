"""Tasks whose embeddings are clouds that overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.evaluate.tasks import Fold, SceneTask

SINGLE = (Fold(("x",), ("y",), ("z",)),)
THREE = tuple(Fold((a,), (b,), (c,)) for a, b, c in ("xyz", "yzx", "zxy"))
Embedded = dict[str, np.ndarray]


def task_of(truth: dict[str, np.ndarray], folds: tuple[Fold, ...] = SINGLE, multilabel: bool = False) -> SceneTask:
    names = tuple(f"label {n}" for n in range(truth["x"].shape[1]))
    return SceneTask("made", names, multilabel, 1.0, {split: [] for split in truth}, truth, folds)


def clouds(
    counts: Sequence[int] = (60, 40, 50),
    dim: int = 6,
    labels: int = 3,
    noise: float = 1.5,
    multilabel: bool = False,
    seed: int = 0,
) -> tuple[dict[str, np.ndarray], Embedded]:
    """Truth and embeddings of splits x, y, z, ...: clouds that overlap, in dimensions of different size and place."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(labels, dim))
    scale, offset = 10.0 ** generator.uniform(-3, 3, dim), generator.normal(size=dim)
    truth, embedded = {}, {}
    for split, count in zip("xyzuvw", counts, strict=False):
        if multilabel:
            truth[split] = generator.uniform(size=(count, labels)) < 0.4
        else:
            truth[split] = np.eye(labels, dtype=bool)[generator.permutation(np.arange(count) % labels)]
        values = truth[split] @ centres + generator.normal(0, noise, (count, dim))
        embedded[split] = ((values + offset) * scale).astype(np.float32)
    return truth, embedded
