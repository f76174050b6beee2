"""Votes of the k nearest neighbours, and the papers' way to judge frozen embeddings with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluate.tasks import Fold, SceneTask, TaskError

TEMPERATURE = 0.07  # of the votes (Wu et al. 2018, section 3.4)
BLOCK = 5_000_000  # similarities at once: 40 MB
COLUMNS = 64  # dimensions standardised at once, so that no copy of all embeddings is needed
KS = (1, 3, 5, 10, 20, 50)


def standardise(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Each dimension by mean and standard deviation of `reference`, then each row to length 1: float64 `(n, D)`.

    Args:
        values: `(n, D)`.
        reference: `(m, D)`; a dimension in which it is constant becomes 0.
    """
    found = np.empty(values.shape)
    for start in range(0, values.shape[1], COLUMNS):
        columns = slice(start, start + COLUMNS)
        known = reference[:, columns].astype(np.float64)
        deviation = known.std(0)
        constant = (np.ptp(known, axis=0) == 0) | (deviation == 0)  # rounding can give equal values a deviation
        found[:, columns] = (values[:, columns] - known.mean(0)) / np.where(constant, np.inf, deviation)
    length: np.ndarray = np.linalg.norm(found, axis=1, keepdims=True)
    found /= np.where(length > 0, length, 1.0)
    return found


def vote(
    queries: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray,
    ks: Sequence[int],
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """The label that the k nearest of `known` vote for, for each k: int `(len(ks), n)`; -1 if there is none to vote.

    A neighbour of cosine similarity s votes with weight exp(s / 0.07) (Wu et al. 2018: Unsupervised feature learning
    via non-parametric instance discrimination). Of neighbours as near as each other the first are taken; of labels
    with as many votes, the first.

    Args:
        queries, known: rows of length 1, `(n, D)` and `(m, D)`.
        labels: of `known`, `(m,)`, numbers from 0.
        ks: how many vote; all there are where there are fewer.
        groups: of queries and of known, `(n,)` and `(m,)`, numbers: those of a query's own group do not vote.

    Raises:
        ValueError: a k below 1.
    """
    if min(ks) < 1:
        raise ValueError(f"neighbours is {min(ks)}; 1 or more are needed")
    most = min(max(ks), len(known))
    answers = np.full((len(ks), len(queries)), -1)
    size = max(1, BLOCK // len(known))
    for start in range(0, len(queries), size):
        rows = slice(start, min(start + size, len(queries)))
        # Rounded, because matrix products differ in the last digits with the place in the matrix: like ties with like.
        similarity = np.round(queries[rows] @ known.T, 9)
        if groups is not None:
            similarity[groups[0][rows, None] == groups[1]] = -np.inf  # weighs nothing, should there be too few others
        nearest = _nearest(similarity, most)
        weights = np.exp(np.take_along_axis(similarity, nearest, 1) / TEMPERATURE)
        votes = np.zeros((len(nearest), int(labels.max()) + 1))
        for rank in range(most):
            votes[np.arange(len(votes)), labels[nearest[:, rank]]] += weights[:, rank]
            for place in (i for i, k in enumerate(ks) if min(k, most) == rank + 1):
                answers[place, rows] = np.where(votes.max(1) > 0, votes.argmax(1), -1)
    return answers


def _nearest(similarity: np.ndarray, most: int) -> np.ndarray:
    """Columns of the `most` greatest values of each row, greatest first, of equal ones the first: `(rows, most)`."""
    last = -np.partition(-similarity, most - 1, axis=1)[:, most - 1 : most]
    nearer, tied = similarity > last, similarity == last
    room = most - nearer.sum(1, keepdims=True)
    chosen = nearer | (tied & (tied.cumsum(1) <= room))
    columns = np.nonzero(chosen)[1].reshape(len(similarity), most)
    order = np.argsort(-np.take_along_axis(similarity, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def knn_probe(task: SceneTask, embedded: Mapping[str, np.ndarray], ks: Sequence[int] = KS) -> dict[str, Any]:
    """Accuracy of the nearest neighbours on frozen embeddings, with votes as in `vote` and k from cross-validation.

    Where the task has folds, each training and validation split of a fold in turn is answered from the others of
    them; where it has train, valid and test, the validation split is answered from the training split. The k with most
    right answers is taken, the smallest of equal ones, and the test split answered from training and validation splits
    together. Embeddings are standardised on the splits that answer, and compared by cosine similarity.

    Args:
        embedded: split to `(clips, D)`.

    Returns:
        `task`; `accuracy` in %, the mean over the folds; `k` of each fold.

    Raises:
        TaskError: a multilabel task, or embeddings that are missing, not finite or not of the clips.
        ValueError: a k below 1.
    """
    if task.multilabel:
        raise TaskError(f"{task.name}: a multilabel task; neighbours vote for one label, a multiclass task is needed")
    truth = {split: values.argmax(1) for split, values in task.truth.items()}
    for split, labels in truth.items():
        values = embedded.get(split)
        if values is None or values.ndim != 2 or len(values) != len(labels) or not np.isfinite(values).all():
            raise TaskError(f"{task.name}: of {split}, finite embeddings ({len(labels)} clips, D) are needed")

    def right(asked: str, splits: Sequence[str], candidates: Sequence[int]) -> np.ndarray:
        known = np.concatenate([embedded[split] for split in splits])
        labels = np.concatenate([truth[split] for split in splits])
        answers = vote(standardise(embedded[asked], known), standardise(known, known), labels, candidates)
        count: np.ndarray = (answers == truth[asked]).sum(1)
        return count

    candidates = sorted(set(ks))
    chosen, accuracies = [], []
    for fold in task.folds:
        scores = sum(right(asked, splits, candidates) for asked, splits in _rounds(fold, len(task.folds)))
        chosen.append(candidates[int(np.argmax(scores))])
        found = [right(asked, fold.train + fold.valid, chosen[-1:])[0] for asked in fold.test]
        accuracies.append(100.0 * sum(found) / sum(len(truth[asked]) for asked in fold.test))
    return {"task": task.name, "accuracy": float(np.mean(accuracies)), "k": chosen}


def _rounds(fold: Fold, folds: int) -> list[tuple[str, tuple[str, ...]]]:
    """Which split is answered from which to choose k."""
    if folds == 1:
        return [(asked, fold.train) for asked in fold.valid]
    pool = fold.train + fold.valid
    return [(asked, tuple(split for split in pool if split != asked)) for asked in pool]
