"""Regression on frozen embeddings against scikit-learn's, and the command that runs it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from selfie_hear.config import MissingExtraError
from tests.training.clouds import SINGLE, THREE, Embedded, clouds, task_of
from tests.training.tasks import make_task
from training.__main__ import main
from training.evaluate import regression
from training.evaluate.regression import PENALTIES, regression_probe
from training.evaluate.report.results import read_result
from training.evaluate.tasks import SceneTask


def naive(
    task: SceneTask, embedded: Embedded, train: tuple[str, ...], test: tuple[str, ...], penalty: float
) -> np.ndarray:
    """Logits on `test` of scikit-learn's regression with the same objective."""
    x, x_test = (np.concatenate([embedded[split] for split in splits]).astype(float) for splits in (train, test))
    truth = np.concatenate([task.truth[split] for split in train])
    mean, deviation = x.mean(0), x.std(0)
    x, x_test = (x - mean) / deviation, (x_test - mean) / deviation
    terms = len(x) * (truth.shape[1] if task.multilabel else 1)
    strength = 1 / (2 * penalty * terms)  # scikit-learn's: C times the sum of losses, plus half the squares
    if not task.multilabel:
        fitted = LogisticRegression(C=strength, tol=1e-8, max_iter=10000).fit(x, truth.argmax(1))
        return fitted.decision_function(x_test)
    one = [LogisticRegression(C=strength, tol=1e-8, max_iter=10000).fit(x, column) for column in truth.T]
    return np.stack([fitted.decision_function(x_test) for fitted in one], axis=1)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_it_is_scikit_learns_regression(multilabel: bool, penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, embedded = clouds(multilabel=multilabel)
    task = task_of(truth, THREE, multilabel)
    monkeypatch.setattr(regression, "PENALTIES", (penalty,))
    found = regression_probe(task, embedded)
    expected = [naive(task, embedded, (*fold.train, *fold.valid), fold.test, penalty) for fold in task.folds]
    ours, theirs = found.scores[0], np.concatenate(expected)
    if not multilabel:  # softmax does not see what is added to all logits
        ours, theirs = (rows - rows.mean(1, keepdims=True) for rows in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())
    np.testing.assert_array_equal(found.truth, np.concatenate([truth[split] for split in "zxy"]))


def test_one_value_a_fold() -> None:
    truth, embedded = clouds(noise=0.8)
    found = regression_probe(task_of(truth, THREE), embedded)
    assert found.scores.shape == (1, 150, 3)
    right = found.scores[0].argmax(1) == found.truth.argmax(1)
    by_fold = [100 * part.mean() for part in np.split(right, [50, 110])]
    np.testing.assert_allclose(found.metrics["accuracy"], by_fold)
    assert 60 < found.summary()["accuracy"]["mean"] < 100
    assert found.summary()["accuracy"]["ci95"] > 0


@pytest.mark.parametrize("choices", [(1e-6, 3e-3, 3e1), (3e1, 3e-3, 1e-6)])
def test_the_penalty_is_the_one_that_does_best_on_the_validation_split(
    choices: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, embedded = clouds((25, 300, 50), dim=20, noise=2.0, seed=1)
    task = task_of(truth)
    rates = {c: (naive(task, embedded, ("x",), ("y",), c).argmax(1) == truth["y"].argmax(1)).mean() for c in choices}
    best = max(choices, key=rates.__getitem__)
    assert sorted(rates.values())[-2] < rates[best], rates
    monkeypatch.setattr(regression, "PENALTIES", choices)
    chosen = regression_probe(task, embedded).scores
    monkeypatch.setattr(regression, "PENALTIES", (best,))
    np.testing.assert_array_equal(chosen, regression_probe(task, embedded).scores)


def test_a_label_that_training_lacks_is_never_the_answer() -> None:
    truth, embedded = clouds(labels=3)
    keep = {split: ~rows[:, 2] if split != "z" else np.ones(len(rows), bool) for split, rows in truth.items()}
    truth, embedded = ({split: rows[keep[split]] for split, rows in parts.items()} for parts in (truth, embedded))
    found = regression_probe(task_of(truth, SINGLE), embedded)
    assert np.isfinite(found.scores).all()
    assert not (found.scores[0].argmax(1) == 2).any()


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, embedded = clouds()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'selfie_hear\[train\]'"):
        regression_probe(task_of(truth), embedded)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make_task(tmp_path / "tasks" / "tones", clips=8, seconds=0.1)
    words = ["regression", "log-mel", "--tasks-dir", tmp_path / "tasks"]
    words += ["--cache", tmp_path / "cache", "--json", tmp_path / "out.json"]
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    ended = capsys.readouterr()
    assert caught.value.code == 0, ended.err
    result = read_result(tmp_path / "out.json")
    assert result["kind"] == "regression" and result["config"] == {"penalties": [1e-4, 1e-3, 1e-2]}
    (row,) = result["rows"]
    assert row["metrics"]["accuracy"]["mean"] > 90 and np.sum(row["confusion"]) == 24
    assert ended.out.splitlines()[0] == "| model | tones | mean |"
