"""Checkpoints: whole or not there, the last two kept, damage survived."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from training.checkpoint import CheckpointError, checkpoints, load_latest, save


def save_steps(folder: Path, *steps: int) -> None:
    for step in steps:
        save(folder, step, {"weights": torch.full((1000,), float(step)), "seconds": 0.5 * step})


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "new", 7, {"weights": torch.arange(3.0), "nested": {"lr": 0.1, "steps": [1, 2]}})
    assert path.name == "step-00000007.pt"
    state = load_latest(tmp_path / "new")
    assert state is not None
    assert torch.equal(state.pop("weights"), torch.arange(3.0))
    assert state == {"step": 7, "nested": {"lr": 0.1, "steps": [1, 2]}}


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "nowhere") is None


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    save_steps(tmp_path, 5, 10, 100, 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000100.pt", "step-00001000.pt"]
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000100.pt", "step-00001000.pt"]


def test_the_newest_is_loaded_even_where_an_interrupted_one_lies_beside_it(tmp_path: Path) -> None:
    save_steps(tmp_path, 5, 10)
    (tmp_path / "step-00000015.partial").write_bytes(b"half")
    state = load_latest(tmp_path)
    assert state is not None
    assert state["step"] == 10


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_steps(tmp_path, 5)
    save(tmp_path, 5, {"seconds": 99.0})
    assert load_latest(tmp_path) == {"step": 5, "seconds": 99.0}


@pytest.mark.parametrize("damage", ["truncated", "empty", "overwritten", "one byte"])
def test_a_damaged_newest_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    save_steps(tmp_path, 5, 10)
    newest = tmp_path / "step-00000010.pt"
    whole = newest.read_bytes()
    damaged = {"truncated": whole[: len(whole) // 2], "empty": b"", "overwritten": bytes(len(whole)), "one byte": b"a"}
    newest.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        state = load_latest(tmp_path)
    assert state is not None
    assert state["step"] == 5
    assert torch.equal(state["weights"], torch.full((1000,), 5.0))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{newest} is damaged" in record.message


def test_nothing_but_damaged_checkpoints_is_an_error(tmp_path: Path) -> None:
    """A run must not start again from nothing where there was a state."""
    save_steps(tmp_path, 5, 10)
    for path in checkpoints(tmp_path):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints can be read"):
        load_latest(tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    """A pickle that would make a file when it is loaded."""

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "attacked",)

    save(tmp_path, 5, {"harmless": Attack()})
    with pytest.raises(CheckpointError):
        load_latest(tmp_path)
    assert not (tmp_path / "attacked").exists()
