"""The learning rate of each step, by hand, and that the optimiser takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.processes import CPU
from tests.training.runs import batch_of, tiny
from training.config import TrainConfig
from training.loop import Trainer
from training.schedule import learning_rate


def rates(config: TrainConfig, steps: list[int]) -> list[float]:
    return [learning_rate(config, step) for step in steps]


def test_constant_learning_rate_after_a_warm_up() -> None:
    config = replace(tiny(), learning_rate=0.8, warmup_steps=4)
    found = rates(config, [0, 1, 2, 3, 4, 1000])
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates(replace(tiny(), learning_rate=0.8), [0, 19]) == [0.8, 0.8]


def test_cosine_learning_rate_after_a_warm_up() -> None:
    """Steps 2 to 14 are half a wave: a quarter of it at 5 (cos 45 degrees), half at 8, the end at 14."""
    config = replace(tiny(), learning_rate=0.8, schedule="cosine", warmup_steps=2, steps=14)
    found = rates(config, [0, 1, 2, 5, 8, 14, 20])
    assert found == pytest.approx([0.4, 0.8, 0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.0, 0.0])


def test_the_optimiser_takes_the_rate_of_the_step(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(tiny(), learning_rate=0.001, warmup_steps=4), packed, tmp_path, CPU)
    taken = []
    for _ in range(3):
        trainer.train_step(batch_of(trainer))
        taken.append(trainer.optimiser.param_groups[0]["lr"])
    assert taken == pytest.approx([0.00025, 0.0005, 0.00075])
