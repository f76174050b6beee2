"""The offline kNN protocol against loops, and its choice of k by hand."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from training.evaluate.neighbours import knn_probe, standardise, vote
from training.evaluate.tasks import Fold, SceneTask, TaskError

KFOLD = tuple(Fold(train, (valid,), (test,)) for train, valid, test in (
    (("b", "c"), "d", "a"), (("c", "d"), "a", "b"), (("a", "d"), "b", "c"), (("a", "b"), "c", "d"),
))  # fmt: skip
PLAIN = (Fold(("train",), ("valid",), ("test",)),)


def make_task(truth: dict[str, list[int]], folds: tuple[Fold, ...], labels: tuple[str, ...]) -> SceneTask:
    rows = {split: np.eye(len(labels), dtype=bool)[numbers] for split, numbers in truth.items()}
    files = {split: [Path(f"{split}-{n}.wav") for n in range(len(numbers))] for split, numbers in truth.items()}
    return SceneTask("task", labels, False, 1.0, files, rows, folds)


def clouds(splits: str | tuple[str, ...], count: int, seed: int) -> tuple[dict[str, list[int]], dict[str, np.ndarray]]:
    """Three classes that overlap."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(3, 5))
    truth = {split: generator.integers(3, size=count).tolist() for split in splits}
    scales = np.array([1e-2, 1.0, 50.0, 3.0, 0.2])
    vectors = {s: (centres[y] + generator.normal(0, 1.3, (count, 5))) * scales + scales for s, y in truth.items()}
    return truth, {split: values.astype(np.float32) for split, values in vectors.items()}


def naive_answers(queries: np.ndarray, known: np.ndarray, labels: list[int], k: int) -> list[int]:
    mean, deviation = known.astype(float).mean(0), known.astype(float).std(0)
    scaled = [(known - mean) / deviation, (queries - mean) / deviation]
    answers = []
    for query in scaled[1]:
        found = []
        for number, other in enumerate(scaled[0]):
            product = sum(float(x) * float(y) for x, y in zip(query, other, strict=True))
            found.append((-product / math.hypot(*query) / math.hypot(*other), number))
        votes: dict[int, float] = defaultdict(float)
        for similarity, number in sorted(found)[:k]:
            votes[labels[number]] += math.exp(-similarity / 0.07)
        answers.append(max(votes, key=lambda label: votes[label]))
    return answers


def naive_probe(
    truth: dict[str, list[int]], vectors: dict[str, np.ndarray], folds: tuple[Fold, ...], ks: tuple[int, ...]
) -> tuple[float, list[int]]:
    def right(asked: str, splits: list[str], k: int) -> int:
        known = np.concatenate([vectors[split] for split in splits])
        answers = naive_answers(vectors[asked], known, [label for split in splits for label in truth[split]], k)
        return sum(a == b for a, b in zip(answers, truth[asked], strict=True))

    chosen, accuracies = [], []
    for fold in folds:
        pool = [*fold.train, *fold.valid]
        best = (-1, 0)
        for k in ks:
            if len(folds) == 1:
                score = right(fold.valid[0], list(fold.train), k)
            else:
                score = sum(right(asked, [split for split in pool if split != asked], k) for asked in pool)
            best = max(best, (score, -k))
        chosen.append(-best[1])
        accuracies.append(100 * right(fold.test[0], pool, chosen[-1]) / len(truth[fold.test[0]]))
    return sum(accuracies) / len(accuracies), chosen


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_loops_over_folds(seed: int) -> None:
    truth, vectors = clouds("abcd", 14, seed)
    accuracy, chosen = naive_probe(truth, vectors, KFOLD, (1, 3, 7, 30))
    assert 35 < accuracy < 95
    found = knn_probe(make_task(truth, KFOLD, ("x", "y", "z")), vectors, (30, 3, 1, 7))
    assert found == {"task": "task", "accuracy": pytest.approx(accuracy), "k": chosen}


def test_agrees_with_loops_on_train_valid_test() -> None:
    chosen_of_all = set()
    for seed in range(8):
        truth, vectors = clouds(("train", "valid", "test"), 25, seed)
        accuracy, chosen = naive_probe(truth, vectors, PLAIN, (1, 3, 10, 25))
        found = knn_probe(make_task(truth, PLAIN, ("x", "y", "z")), vectors, (1, 3, 10, 25))
        assert (found["accuracy"], found["k"]) == (pytest.approx(accuracy), chosen)
        chosen_of_all |= set(chosen)
    assert len(chosen_of_all) > 1


def angles(*degrees: float) -> np.ndarray:
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1)


def test_k_by_hand() -> None:
    """A mislabelled clip stands nearest to the validation clip, so one neighbour errs and three do not."""
    train = angles(0, 2, 4, 90, 92, 94, 180, 182, 184, 270, 272, 274)  # four clusters: standardising keeps their order
    labels = [0, 1, 0] + [2] * 3 + [3] * 3 + [1] * 3
    truth = {"train": labels, "valid": [0], "test": [0, 2]}
    vectors = {"train": train, "valid": angles(2.1), "test": angles(1.9, 92)}
    task = make_task(truth, PLAIN, ("a", "b", "c", "d"))
    assert knn_probe(task, vectors, (1, 3)) == {"task": "task", "accuracy": 100.0, "k": [3]}
    assert knn_probe(task, vectors, (1,))["k"] == [1]
    agreed = make_task({**truth, "valid": [1]}, PLAIN, ("a", "b", "c", "d"))
    assert knn_probe(agreed, vectors, (1, 3))["k"] == [1]


def test_of_equal_k_the_smallest() -> None:
    truth = {"train": [0, 0, 0, 1, 1, 1], "valid": [0, 1], "test": [1, 0]}
    side = np.array([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1], [-1.0, 0.0]])
    vectors = {"train": side, "valid": side[[0, 3]], "test": side[[4, 1]]}
    assert knn_probe(make_task(truth, PLAIN, ("a", "b")), vectors, (3, 2, 1)) == {
        "task": "task", "accuracy": 100.0, "k": [1],
    }  # fmt: skip


def test_ties_and_weights_of_votes() -> None:
    known = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    labels = np.array([1, 0, 0, 2, 2])
    asked = np.array([[1.0, 0.0], [0.6, 0.8]])
    # The first of equal neighbours; with a vote each the first label; then two of three; then near before many.
    assert vote(asked, known, labels, (1, 2, 3, 99))[:, 0].tolist() == [1, 0, 0, 0]
    assert vote(asked, known, labels, (1, 5))[:, 1].tolist() == [2, 2]
    own = np.array([0, 1])
    assert vote(asked, known, labels, (1,), (own, np.array([0, 0, 0, 1, 1]))).tolist() == [[2, 1]]
    assert vote(asked, known, labels, (2,), (own, np.array([0, 0, 0, 0, 0]))).tolist() == [[-1, 2]]


def test_standardised_by_the_reference_alone() -> None:
    reference = np.array([[0.0, 10.0, 5.0], [2.0, 30.0, 5.0]])
    found = standardise(np.array([[3.0, 20.0, 7.0], [1.0, 40.0, 5.0], [1.0, 20.0, 9.0]]), reference)
    assert found.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_a_test_clip_changes_no_other() -> None:
    truth, vectors = clouds(("train", "valid", "test"), 25, 0)
    task = make_task(truth, PLAIN, ("x", "y", "z"))
    plain = knn_probe(task, vectors)
    vectors["test"][0] *= 1e6
    assert abs(knn_probe(task, vectors)["accuracy"] - plain["accuracy"]) <= 4.0 + 1e-9


def test_what_cannot_be_judged_is_refused() -> None:
    truth, vectors = clouds(("train", "valid", "test"), 5, 0)
    task = make_task(truth, PLAIN, ("x", "y", "z"))
    with pytest.raises(ValueError, match="neighbours is 0; 1 or more"):
        knn_probe(task, vectors, (0, 1))
    for broken in ({"valid": vectors["valid"][:3]}, {"valid": np.full((5, 5), np.nan)}, {"valid": np.zeros(5)}):
        with pytest.raises(TaskError, match=r"task: of valid, finite embeddings \(5 clips, D\) are needed"):
            knn_probe(task, {**vectors, **broken})
    with pytest.raises(TaskError, match="of test"):
        knn_probe(task, {"train": vectors["train"], "valid": vectors["valid"]})
    several = SceneTask("many", task.labels, True, 1.0, task.splits, task.truth, PLAIN)
    with pytest.raises(TaskError, match="many: a multilabel task; neighbours vote for one label"):
        knn_probe(several, vectors)
