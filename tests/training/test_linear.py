"""The linear protocol against a plain loop: when it stops, what it returns, what it depends on."""

from __future__ import annotations

import copy
import re
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from selfie_hear.config import MissingExtraError
from tests.training.clouds import SINGLE, THREE, Embedded, clouds, task_of
from training.evaluate.linear import LinearConfig, linear_probe
from training.evaluate.tasks import Fold, SceneTask, TaskError


def naive(
    task: SceneTask,
    embedded: Embedded,
    fold: Fold,
    config: LinearConfig,
    seed: int,
    stopped: list[tuple[int, int]],
    by_loss: bool = False,
) -> Tensor:
    """Logits on the test split by a layer trained alone; to `stopped` goes its best epoch and its last.

    Args:
        by_loss: stop by the loss on the validation split, not by its wrong answers.
    """
    train, valid, test = (
        torch.from_numpy(np.concatenate([embedded[split] for split in splits]))
        for splits in (fold.train, fold.valid, fold.test)
    )
    right, right_valid = (
        torch.from_numpy(np.concatenate([task.truth[split] for split in splits])) for splits in (fold.train, fold.valid)
    )
    mean, deviation = train.mean(0), train.std(0, unbiased=False)
    train, valid, test = (((part - mean) / deviation).clip(-10, 10) for part in (train, valid, test))

    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(train.shape[1], len(task.labels))
    bound = 1.0 / train.shape[1] ** 0.5
    with torch.no_grad():
        layer.weight.copy_(((torch.rand(train.shape[1], len(task.labels), generator=generator) * 2 - 1) * bound).t())
        layer.bias.copy_(((torch.rand(1, len(task.labels), generator=generator) * 2 - 1) * bound)[0])
    optimiser = torch.optim.Adam(layer.parameters(), lr=config.learning_rate)

    def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
        if task.multilabel:
            return nn.functional.binary_cross_entropy_with_logits(logits, truth.float())
        return nn.functional.cross_entropy(logits, truth.float().argmax(1))

    best, best_layer, best_epoch, epoch = (len(valid) + 1, float("inf")), copy.deepcopy(layer), 0, 0
    for epoch in range(1, config.epochs + 1):
        order = torch.randperm(len(train), generator=generator)
        for start in range(0, len(train), config.batch):
            rows = order[start : start + config.batch]
            optimiser.zero_grad()
            loss_of(layer(train[rows]), right[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            answers = layer(valid)
        wrong = sum(
            int(row.argmax()) != int(label.float().argmax()) for row, label in zip(answers, right_valid, strict=True)
        )
        now = (0 if task.multilabel or by_loss else wrong, float(loss_of(answers, right_valid)))
        if now < best:
            best, best_layer, best_epoch = now, copy.deepcopy(layer), epoch
        if epoch - best_epoch >= config.patience:
            break
    stopped.append((best_epoch, epoch))
    with torch.no_grad():
        return best_layer(test)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(
    ("config", "seed"),
    [
        (LinearConfig(epochs=3, batch=32, seeds=2), 0),
        (LinearConfig(epochs=25, batch=1000, learning_rate=0.05, seeds=2), 1),
        (LinearConfig(epochs=40, patience=1, batch=16, learning_rate=0.03, seeds=5), 2),
        (LinearConfig(epochs=40, patience=3, batch=20, learning_rate=0.05, seeds=3), 3),
        (LinearConfig(epochs=20, batch=20, learning_rate=1.0, seeds=2), 4),  # the loss leaps by more than one
    ],
)
def test_agrees_with_a_plain_loop_for_each_seed(config: LinearConfig, seed: int, multilabel: bool) -> None:
    truth, embedded = clouds(multilabel=multilabel, seed=seed)
    task = task_of(truth, THREE, multilabel)
    found = linear_probe(task, embedded, config)
    stopped: list[tuple[int, int]] = []
    logits = [
        torch.cat([naive(task, embedded, fold, config, seed, stopped) for fold in task.folds]).numpy()
        for seed in range(config.seeds)
    ]
    np.testing.assert_allclose(found.scores, np.stack(logits), rtol=1e-4, atol=2e-3)
    np.testing.assert_array_equal(found.truth, np.concatenate([truth[split] for split in "zxy"]))
    lasts = {last for _, last in stopped}
    if config.patience < 20:  # or else that one layer waits for another would not have been tried
        assert len(lasts) > 3 and min(lasts) < config.epochs
    else:
        assert lasts == {config.epochs}


def test_a_layer_that_has_stopped_does_not_go_on_for_the_sake_of_others() -> None:
    """With patience 1 one stops at its first bad epoch, though it would have become better while others ran."""
    truth, embedded = clouds((40, 12, 30), noise=2.5, seed=5)
    task, config = task_of(truth), LinearConfig(epochs=40, patience=1, batch=8, learning_rate=0.02, seeds=5)
    stopped: list[tuple[int, int]] = []
    stops = [naive(task, embedded, SINGLE[0], config, seed, stopped) for seed in range(5)]
    patient = [naive(task, embedded, SINGLE[0], LinearConfig(40, 40, 8, 0.02), seed, []) for seed in range(5)]
    last = max(last for _, last in stopped)
    others = [not torch.equal(*both) for both in zip(stops, patient, strict=True)]
    assert any(best + 1 < last and other for (best, _), other in zip(stopped, others, strict=True))
    np.testing.assert_allclose(linear_probe(task, embedded, config).scores, torch.stack(stops), atol=2e-3)


def test_agrees_with_a_plain_loop_where_values_are_far_away() -> None:
    truth, embedded = clouds((150, 140, 130), seed=4)
    for rows in embedded.values():
        far = rows.std(0)
        rows[0] += 1000 * far
        rows[1] -= 10000 * far * (np.arange(6) % 2)
        assert np.abs((rows - rows.mean(0)) / rows.std(0)).max() > 10.5
    task, config = task_of(truth, THREE), LinearConfig(epochs=5, batch=50, learning_rate=0.02, seeds=2)
    logits = [
        torch.cat([naive(task, embedded, fold, config, seed, []) for fold in task.folds]).numpy() for seed in range(2)
    ]
    np.testing.assert_allclose(linear_probe(task, embedded, config).scores, np.stack(logits), atol=2e-3)


def test_training_stops_by_accuracy_where_the_loss_would_have_stopped_it_earlier() -> None:
    """Some validation clips are wrong beyond doubt, so the loss grows with confidence while others come right."""
    side = np.where(np.arange(60) % 2, 1.0, -1.0)
    generator = np.random.default_rng(0)
    slight = side * generator.uniform(0.2, 2.0, 60)
    beyond = np.arange(60) % 5 == 0
    embedded = {
        "x": np.stack([side, side], 1),
        "y": np.stack([np.where(beyond, -9 * side, 0.0), np.where(beyond, 0.0, slight)], 1),
        "z": np.stack([np.zeros(60), slight], 1),
    }
    embedded = {split: rows.astype(np.float32) for split, rows in embedded.items()}
    task = task_of(dict.fromkeys("xyz", np.stack([side < 0, side > 0], 1)))
    config = LinearConfig(epochs=60, patience=3, batch=20, learning_rate=0.005, seeds=5)
    by_loss: list[tuple[int, int]] = []
    by_accuracy: list[tuple[int, int]] = []
    early = [naive(task, embedded, SINGLE[0], config, seed, by_loss, by_loss=True) for seed in range(5)]
    expected = [naive(task, embedded, SINGLE[0], config, seed, by_accuracy) for seed in range(5)]
    assert sum(last < best for (_, last), (best, _) in zip(by_loss, by_accuracy, strict=True)) >= 3
    found = linear_probe(task, embedded, config)
    np.testing.assert_allclose(found.scores, torch.stack(expected), atol=2e-3)
    right = (torch.stack(early).argmax(2).numpy() == (side > 0)).mean(1)
    assert found.metrics["accuracy"].mean() > 100 * right.mean() + 15


def test_the_layer_of_the_best_epoch_is_returned() -> None:
    """Validation has the labels exchanged, so each epoch after the first is worse."""
    truth, embedded = clouds((60, 60, 60), labels=2, noise=0.3)
    spoilt = task_of({**truth, "y": ~truth["y"]})

    def scores(task: SceneTask, epochs: int, patience: int = 20) -> np.ndarray:
        config = LinearConfig(epochs, patience, learning_rate=0.01, seeds=3)
        return linear_probe(task, embedded, config).scores

    np.testing.assert_array_equal(scores(spoilt, 30), scores(spoilt, 1))
    np.testing.assert_array_equal(scores(spoilt, 30, 100), scores(spoilt, 1))
    assert not np.allclose(scores(task_of(truth), 30), scores(task_of(truth), 1), atol=0.1)


def test_validation_only_says_when_to_stop_and_test_says_nothing() -> None:
    truth, embedded = clouds()
    task, once = task_of(truth), LinearConfig(epochs=1, seeds=2)
    plain = linear_probe(task, embedded, once)
    other = {**embedded, "y": embedded["y"] * 100 + 7}
    np.testing.assert_array_equal(linear_probe(task, other, once).scores, plain.scores)
    few = task_of({**truth, "z": truth["z"][:5]})
    few_scores = linear_probe(few, {**embedded, "z": embedded["z"][:5]}, once).scores
    np.testing.assert_allclose(few_scores, plain.scores[:, :5], atol=1e-5)


def test_the_same_again_whatever_the_state_of_the_random_generator() -> None:
    truth, embedded = clouds()
    config = LinearConfig(epochs=10, seeds=3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = linear_probe(task_of(truth, THREE), embedded, config)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    kept = {split: rows.copy() for split, rows in embedded.items()}
    again = linear_probe(task_of(truth, THREE), embedded, config)
    np.testing.assert_array_equal(first.scores, again.scores)
    assert all(np.array_equal(rows, kept[split]) for split, rows in embedded.items())
    fewer = linear_probe(task_of(truth, THREE), embedded, LinearConfig(epochs=10, seeds=1))
    np.testing.assert_allclose(fewer.scores[0], first.scores[0], atol=1e-4)
    assert not np.allclose(first.scores[0], first.scores[1], atol=1e-2)


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"patience": 0}, {"batch": 0}, {"seeds": 0}, {"seeds": -1}, {"learning_rate": 0.0}]
    + [{"learning_rate": value} for value in (-1e-3, float("nan"))],
)
def test_settings_without_sense_are_refused(change: dict[str, float]) -> None:
    ((key, value),) = change.items()
    with pytest.raises(TaskError, match=rf"^linear: .* must be positive, got .*{key}={re.escape(str(value))}"):
        LinearConfig(**change)  # type: ignore[arg-type]


def test_the_settings_are_those_of_the_paper() -> None:
    config = LinearConfig()
    assert (config.epochs, config.patience, config.seeds) == (200, 20, 5)


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, embedded = clouds()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'selfie_hear\[train\]'"):
        linear_probe(task_of(truth), embedded, LinearConfig(epochs=1))
