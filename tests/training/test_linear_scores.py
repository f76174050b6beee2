"""Scores of the linear protocol against naive measures and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.clouds import clouds, task_of
from training.evaluate.linear import LinearConfig, Scores, linear_probe, mean_and_interval
from training.evaluate.tasks import Fold


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Mean precision at each clip that has the label, best first; scores must differ."""
    assert len(set(scores.tolist())) == len(scores)
    hits, precisions = 0, []
    for place, clip in enumerate(sorted(range(len(scores)), key=lambda n: -scores[n]), 1):
        if truth[clip]:
            hits += 1
            precisions.append(hits / place)
    return sum(precisions) / len(precisions)


def f1(truth: np.ndarray, answer: np.ndarray) -> float:
    both = sum(int(a and b) for a, b in zip(truth, answer, strict=True))
    return 2 * both / (int(truth.sum()) + int(answer.sum())) if both else 0.0


def test_the_naive_measures_by_hand() -> None:
    assert average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx((1 + 2 / 3) / 2)
    assert f1(np.array([1, 1, 1, 0]), np.array([1, 0, 1, 1])) == pytest.approx(2 / 3)


def measures(truth: np.ndarray, scores: np.ndarray, multilabel: bool) -> dict[str, float]:
    there = [n for n in range(truth.shape[1]) if truth[:, n].any()]
    answer = scores > 0 if multilabel else np.eye(truth.shape[1], dtype=bool)[scores.argmax(1)]
    precisions = [average_precision(truth[:, n], scores[:, n]) for n in there]
    weights = [truth[:, n].sum() for n in there]
    found = {
        "f1": sum(f1(truth[:, n], answer[:, n]) for n in there) / len(there),
        "wap": sum(p * w for p, w in zip(precisions, weights, strict=True)) / sum(weights),
    }
    if multilabel:
        return {"map": sum(precisions) / len(there), **found}
    return {"accuracy": sum(scores[n].argmax() == truth[n].argmax() for n in range(len(truth))) / len(truth), **found}


@pytest.mark.parametrize("tested", [(0, 1, 2, 3), (0, 2), (1,)])
@pytest.mark.parametrize("multilabel", [False, True])
def test_measures_agree_with_naive_ones_and_folds_weigh_the_same(multilabel: bool, tested: tuple[int, ...]) -> None:
    """Folds of 90, 50 and 7 test clips, of which the last has some of the labels only."""
    truth, embedded = clouds((90, 50, 7), labels=4, noise=2.0, multilabel=multilabel, seed=3)
    some = np.isin(np.arange(4), tested)
    truth["z"] = truth["z"] & some
    truth["z"][~truth["z"].any(1), tested[0]] = True
    if multilabel:
        truth["z"][0] = False
    folds = (Fold(("x",), ("y",), ("z",)), Fold(("y",), ("x",), ("z",)), Fold(("y", "z"), ("z",), ("x",)))
    task, config = task_of(truth, folds, multilabel), LinearConfig(epochs=5, seeds=3)
    found = linear_probe(task, embedded, config)
    assert list(found.metrics) == (["map", "f1", "wap"] if multilabel else ["accuracy", "f1", "wap"])
    pooled = []
    for seed, scores in enumerate(found.scores):
        parts = list(zip(np.split(found.truth, [7, 14]), np.split(scores, [7, 14]), strict=True))
        assert [len(part) for part, _ in parts] == [7, 7, 90]
        of_folds = [measures(*part, multilabel) for part in parts]
        for name, values in found.metrics.items():
            assert values.shape == (3,)
            assert values[seed] == pytest.approx(100 * sum(fold[name] for fold in of_folds) / 3)
        pooled.append(measures(found.truth, scores, multilabel)["wap"])
    assert not np.allclose(found.metrics["wap"], 100 * np.array(pooled), atol=1.0)


def test_confusion_and_f1_of_each_label_by_hand() -> None:
    truth = np.eye(3, dtype=bool)[[0, 0, 0, 1, 1, 2]]
    answers = np.eye(3)[[0, 0, 1, 1, 0, 0]]
    scores = Scores({}, np.stack([answers, np.eye(3)[[2] * 6]]), truth, multilabel=False)
    assert scores.confusion() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]
    # Of label 0: two right of three there and four answered; of label 1: one of two and two; of label 2: none.
    assert scores.class_f1() == pytest.approx([100 * 4 / 7, 50.0, 0.0])
    several = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], bool)
    logits = np.array([[[2.0, -1.0], [0.5, -3.0], [0.1, -0.1], [-1.0, -2.0]]])
    assert Scores({}, logits, several, multilabel=True).class_f1() == pytest.approx([80.0, 0.0])


def test_mean_and_interval_by_hand() -> None:
    """Student's t for 4 degrees of freedom is 2.776, for 1 it is 12.706."""
    found = mean_and_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert found["mean"] == 3.0
    assert found["ci95"] == pytest.approx(2.776 * (10 / 4 / 5) ** 0.5, rel=1e-3)
    assert mean_and_interval(np.array([50.0, 52.0])) == {"mean": 51.0, "ci95": pytest.approx(12.706, rel=1e-4)}
    assert mean_and_interval(np.array([7.5])) == {"mean": 7.5, "ci95": 0.0}
    assert mean_and_interval(np.full(5, 7.5)) == {"mean": 7.5, "ci95": 0.0}
    scores = Scores({"f1": np.array([50.0, 52.0])}, np.zeros((2, 1, 2)), np.zeros((1, 2), bool), multilabel=False)
    assert scores.summary() == {"f1": mean_and_interval(np.array([50.0, 52.0]))}
