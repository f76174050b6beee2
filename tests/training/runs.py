"""Small runs, and what tests want to know of their folders and trainers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.config import TrainConfig
from training.corpus.crops import Batch
from training.loop import Trainer
from training.recipes import get_recipe

TIMES = frozenset(["crops_per_second", "data_wait", "peak_memory_mb"])  # differ from run to run


def tiny() -> TrainConfig:
    """A network of a few thousand values."""
    return get_recipe("tiny")


SELDOM = replace(tiny(), checkpoint_every=1000)


def ignore(_step: int, _values: dict[str, float]) -> None:
    """Show nothing."""


def metrics_of(run: Path) -> list[dict[str, float]]:
    """The lines of its journal."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps_of(run: Path) -> list[float]:
    return [line["step"] for line in metrics_of(run)]


def without_times(lines: list[dict[str, float]]) -> list[dict[str, float]]:
    """What must be equal in equal runs."""
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def tensors_of(values: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dictionaries and lists, with its place."""
    if isinstance(values, Tensor):
        yield name, values
    elif isinstance(values, dict | list | tuple):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from tensors_of(value, f"{name}.{key}")


def batch_of(trainer: Trainer) -> Batch:
    """What the next step trains on."""
    return trainer.crops.read(trainer.step, trainer.rows)


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(tensors_of([trainer.objective.state_dict(), trainer.optimiser.state_dict()]))


def assert_same_state(found: Trainer, expected: Trainer) -> None:
    ours, theirs = state_of(found), state_of(expected)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 100
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
