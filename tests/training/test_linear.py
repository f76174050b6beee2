"""The linear protocol against a plain loop and measures by hand, and the command that runs it."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from selfie_hear.config import MissingExtraError
from selfie_hear.pretrained import DEFAULT
from tests.training.tasks import SIMPLE, make_module, make_task
from training.__main__ import main
from training.evaluate.linear import LinearConfig, Scores, linear_probe, mean_and_interval
from training.evaluate.report.results import read_result
from training.evaluate.tasks import Fold, SceneTask, TaskError

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


def test_a_unit_all_but_silent_in_training_does_not_drown_the_others() -> None:
    """Nothing is farther away than ten deviations, and what is nearer is where it is."""
    truth, embedded = clouds((120, 60, 90), noise=0.2)
    unit = np.random.default_rng(1).normal(size=120)
    unit = 1e-6 * (unit - unit.mean()) / unit.std()

    def tested_at(deviations: float) -> np.ndarray:
        added = {"x": unit, "y": np.zeros(60), "z": np.full(90, 1e-6 * deviations)}
        more = {split: np.c_[embedded[split], values].astype(np.float32) for split, values in added.items()}
        return linear_probe(task_of(truth), more, LinearConfig(epochs=60, learning_rate=0.1, seeds=3)).scores

    def accuracy(scores: np.ndarray) -> float:
        return float((scores.argmax(2) == truth["z"].argmax(1)).mean())

    here, one = tested_at(0.0), tested_at(1.0)
    for near in (-9.99, 5.0, 9.99):
        np.testing.assert_allclose(tested_at(near), here + near * (one - here), atol=1e-3)
    for far in (-1e9, -11.0, 10.5, 1e3, 1e9):
        found = tested_at(far)
        np.testing.assert_allclose(found, here + np.clip(far, -10, 10) * (one - here), atol=1e-3)
        assert accuracy(found) > 0.95
    assert accuracy(here + 1e9 * (one - here)) < 0.5


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


def test_dimensions_count_alike_whatever_their_size_and_place() -> None:
    truth, embedded = clouds()
    config = LinearConfig(epochs=20, seeds=2)
    plain = linear_probe(task_of(truth), embedded, config)
    scale, offset = np.array([1e-3, 1e3, 1, 20, 0.05, 7]), np.array([0, 10, 1, 0, 0, -3]) * embedded["x"].std(0)
    moved = {split: ((rows + offset) * scale).astype(np.float32) for split, rows in embedded.items()}
    np.testing.assert_allclose(linear_probe(task_of(truth), moved, config).scores, plain.scores, atol=1e-3)
    # One informative feature, far smaller than the noise beside it.
    generator = np.random.default_rng(0)
    small = {
        split: np.stack([np.where(rows[:, 0], 1e-6, -1e-6), generator.normal(0, 1e3, len(rows))], 1).astype(np.float32)
        for split, rows in truth.items()
    }
    two = task_of({split: np.stack([rows[:, 0], ~rows[:, 0]], 1) for split, rows in truth.items()})
    assert linear_probe(two, small, LinearConfig(epochs=60, learning_rate=0.1)).summary()["accuracy"] == {
        "mean": 100,
        "ci95": 0,
    }


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e-20, 12345.678, 1e30])
def test_a_dimension_that_training_has_constant_has_no_say(constant: float) -> None:
    truth, embedded = clouds((256, 40, 50), noise=0.2)
    generator = np.random.default_rng(0)

    def beside(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, values], 1).astype(np.float32)

    def scores(tested: Callable[[int], np.ndarray]) -> Scores:
        more = {"x": beside(embedded["x"], np.full((256, 4), constant))}
        more |= {split: beside(embedded[split], tested(len(embedded[split]))) for split in "yz"}
        return linear_probe(task_of(truth), more, LinearConfig(epochs=25, learning_rate=0.03, seeds=2))

    plain = scores(lambda count: np.full((count, 4), constant))
    varied = scores(lambda count: generator.normal(0, 1e5, (count, 4)))
    assert np.isfinite(plain.scores).all()
    assert plain.metrics["accuracy"].min() > 95
    np.testing.assert_array_equal(plain.scores, varied.scores)


def test_what_can_be_told_apart_is_and_what_cannot_is_not() -> None:
    truth, embedded = clouds((150, 150, 150), noise=0.05)
    found = linear_probe(task_of(truth, THREE), embedded, LinearConfig(epochs=60, learning_rate=0.1, seeds=2))
    assert found.summary() == {name: {"mean": 100.0, "ci95": 0.0} for name in ("accuracy", "f1", "wap")}
    assert found.confusion() == [[150, 0, 0], [0, 150, 0], [0, 0, 150]]
    generator = np.random.default_rng(0)
    noise = {split: generator.normal(size=(1000, 8)).astype(np.float32) for split in "xyz"}
    coin = {split: np.eye(4, dtype=bool)[generator.integers(4, size=1000)] for split in "xyz"}
    by_chance = linear_probe(
        task_of(coin, THREE), noise, LinearConfig(epochs=40, learning_rate=0.01, seeds=2)
    ).summary()
    assert 22 < by_chance["accuracy"]["mean"] < 28
    assert 15 < by_chance["f1"]["mean"] < 28
    assert 22 < by_chance["wap"]["mean"] < 29


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


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Both branches of a release, both baselines and a foreign module on two small tasks."""
    tones = make_task(tmp_path / "tasks" / "tones", "trainvaltest", clips=8, seconds=0.1)
    make_task(tmp_path / "tasks" / "several", "trainvaltest", multilabel=True, clips=4, seconds=0.1)
    make_task(tmp_path / "tasks" / "unnamed", clips=2)
    make_module(tmp_path / "modules", "mine_own")
    words = [
        "linear", DEFAULT, "log-mel", "untrained", "--module", 'mine_own:{"scale": 2.0}', "--seeds", 2,
        "--tasks-dir", tones.parent, "--task", "tones", "--task", "several",
        "--cache", tmp_path / "cache", "--json", tmp_path / "out.json",
    ]  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    ended = capsys.readouterr()
    assert caught.value.code == 0, ended.err
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result) == ["kind", "config", "rows"] and result["kind"] == "linear"
    assert result["config"] == {"epochs": 200, "patience": 20, "batch": 128, "learning_rate": 1e-3, "seeds": 2}
    models = [f"{DEFAULT} online", f"{DEFAULT} target", "log-mel", "untrained", 'mine_own:{"scale": 2.0}']
    rows = result["rows"]
    assert [(row["model"], row["task"]) for row in rows] == [(m, t) for m in models for t in ("tones", "several")]
    for row in rows:
        assert list(row) == ["model", "task", "labels", "metrics", "class_f1", "confusion"]
        assert row["labels"] == ["low", "high"] and len(row["class_f1"]) == 2
        several = row["task"] == "several"
        assert list(row["metrics"]) == ["map" if several else "accuracy", "f1", "wap"]
        assert all(list(value) == ["mean", "ci95"] for value in row["metrics"].values())
        if several:
            assert row["confusion"] is None
            continue
        confusion = np.array(row["confusion"])
        assert confusion.sum(1).tolist() == [4, 4]
        if row["model"] != models[-1]:
            assert row["metrics"]["accuracy"]["mean"] > 90 and min(row["class_f1"]) > 80
            assert confusion.trace() >= 7
        shown = "  ".join(f"{name} {v['mean']:.1f} ± {v['ci95']:.1f}" for name, v in row["metrics"].items())
        assert f"{row['model']}: tones  {shown}\n" in ended.err
    assert len(list((tmp_path / "cache").iterdir())) == 4 + 2  # untrained has the statistics of each task


def test_a_model_that_fails_leaves_the_rows_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = make_task(tmp_path / "tasks" / "tones", "trainvaltest", clips=4, seconds=0.05)
    make_task(tmp_path / "tasks" / "others", "trainvaltest", clips=4, seconds=0.05)
    make_module(tmp_path, "hears_something")
    make_module(tmp_path, "hears_nothing", SIMPLE.replace("audio.mean(1)", "audio.mean(1) / 0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    out = tmp_path / "out.json"
    words = ["linear", "--module", "hears_something", "--module", "hears_nothing", "--seeds", 1]
    words += ["--tasks-dir", tones.parent, "--cache", tmp_path / "cache", "--json", out]
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "error: hears_nothing: " in capsys.readouterr().err
    rows = read_result(out)["rows"]
    assert [(row["model"], row["task"]) for row in rows] == [
        ("hears_something", "others"),
        ("hears_something", "tones"),
    ]
