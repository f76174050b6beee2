"""Runs that cannot go on: they end with the reason, and their last checkpoint is good."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.processes import CPU, Ended, command, in_ranks
from tests.training.runs import SELDOM, batch_of, ignore, steps_of, tiny
from training.checkpoint import checkpoints
from training.loop import Trainer, TrainingError

pytestmark = pytest.mark.usefixtures("few_curves")


def test_a_loss_that_is_no_number_stops_the_run_and_spares_the_checkpoints(packed: Path, tmp_path: Path) -> None:
    """A learning rate at which the first step makes the weights overflow."""
    config = replace(tiny(), learning_rate=1e38, checkpoint_every=100, log_every=100)
    trainer = Trainer(config, packed, tmp_path / "run", CPU)
    trainer.fit(0, ignore)
    (path,) = checkpoints(tmp_path / "run" / "checkpoints")
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"step 2: the loss is not a finite number.*Lower learning_rate"):
        trainer.fit(10, ignore)
    assert trainer.step == 1
    assert checkpoints(tmp_path / "run" / "checkpoints") == [path]
    assert path.read_bytes() == before
    assert Trainer(config, packed, tmp_path / "run", CPU).step == 0


@pytest.mark.parametrize("watching", [{"log_every": 4}, {"log_every": 100, "checkpoint_every": 4}])
def test_the_step_at_fault_is_named_where_it_is_found_out_later(
    packed: Path, tmp_path: Path, watching: dict[str, int]
) -> None:
    """On a GPU the loss is looked at when it is logged or saved: here after step 4, for one that was NaN in step 1."""
    trainer = Trainer(replace(SELDOM, **watching), packed, tmp_path, CPU)
    step, refuse = trainer.train_step, trainer._refuse_non_finite

    def as_on_a_gpu(batch: Tensor) -> dict[str, Tensor]:
        trainer._refuse_non_finite = lambda: None  # type: ignore[method-assign]
        terms = step(batch)
        trainer._refuse_non_finite = refuse  # type: ignore[method-assign]
        if trainer.step == 1:
            with torch.no_grad():
                next(trainer.objective.parameters()).fill_(float("nan"))
        return terms

    trainer.train_step = as_on_a_gpu  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="step 2: the loss is not a finite number"):
        trainer.fit(9, ignore)
    assert trainer.step == 4
    assert checkpoints(tmp_path / "checkpoints") == []


@pytest.mark.parametrize("name", ["online.encoder.fc2.weight", "target.projector.1.running_var"])
def test_weights_that_are_no_numbers_are_not_saved(packed: Path, tmp_path: Path, name: str) -> None:
    """Whatever the loss was: here it is finite."""
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(1, ignore)
    (path,) = checkpoints(tmp_path / "checkpoints")
    before = path.read_bytes()
    trainer.train_step(batch_of(trainer))
    trainer.objective.state_dict()[name].view(-1)[0] = float("inf")
    with pytest.raises(TrainingError, match=f"step 2: {name} is no longer finite; the last checkpoint is untouched"):
        trainer.save()
    assert checkpoints(tmp_path / "checkpoints") == [path]
    assert path.read_bytes() == before


def with_little_disk(limit: int, *words: str | Path | int) -> Ended:
    """The command, where no file can grow beyond `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return command(*words)


def test_a_full_disk_ends_the_run_with_its_reason_and_the_next_one_goes_on(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny", "--data", packed, "--out", run, "--device", "cpu", "--set", "checkpoint_every=2")
    words = (*words, "--set", "objective_options.head_hidden=1024")
    assert in_ranks(1, command, *words, "--max-steps", 2)[0].code == 0
    (path,) = checkpoints(run / "checkpoints")
    before = path.read_bytes()
    assert len(before) > 1e6
    (ended,) = in_ranks(1, with_little_disk, 500_000, *words, "--max-steps", 4)
    assert ended.code == 1
    lost = run / "checkpoints" / "step-00000004.pt"
    assert f"error: {lost}: cannot be written (" in ended.said and "earlier checkpoints are untouched" in ended.said
    assert "Traceback" not in ended.said
    assert list((run / "checkpoints").iterdir()) == [path]
    assert path.read_bytes() == before
    (ended,) = in_ranks(1, command, *words, "--max-steps", 4)
    assert ended.code == 0 and "step 2 of 4" in ended.said
    assert checkpoints(run / "checkpoints") == [path, lost]
    assert steps_of(run) == [1, 2, 3, 4]


def test_an_error_while_reading_ahead_ends_the_run_at_the_step_that_needs_it(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    read: Callable[..., Any] = trainer.crops.read

    def broken(step: int, rows: Any) -> Any:
        if step == 3:
            raise OSError("the disk is gone")
        return read(step, rows)

    monkeypatch.setattr(trainer.crops, "read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(9, ignore)
    assert trainer.step == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]
    Trainer(SELDOM, packed, tmp_path, CPU).fit(4, ignore)  # neither lock nor handlers are left behind
