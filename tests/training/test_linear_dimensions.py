"""Dimensions in the linear protocol: what they tell counts, not their size and place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.training.clouds import THREE, clouds, task_of
from training.evaluate.linear import LinearConfig, Scores, linear_probe


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
