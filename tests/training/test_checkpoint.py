"""Checkpoints: whole or not there, the last few kept, damage and full disks survived."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.checkpoint import CheckpointError, checkpoints, load, load_latest, save


def save_steps(folder: Path, *steps: int, keep: int = 2) -> None:
    for step in steps:
        save(folder, step, {"weights": torch.full((1000,), float(step)), "seconds": 0.5 * step}, keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def step_of_latest(folder: Path) -> int:
    state = load_latest(folder)
    assert state is not None
    assert torch.equal(state["weights"], torch.full((1000,), float(state["step"])))
    return int(state["step"])


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "new", 7, {"weights": torch.arange(3.0), "nested": {"lr": 0.1, "steps": [1, 2]}}, keep=2)
    assert path.name == "step-00000007.pt"
    state = load_latest(tmp_path / "new")
    assert state is not None
    assert torch.equal(state.pop("weights"), torch.arange(3.0))
    assert state == {"step": 7, "nested": {"lr": 0.1, "steps": [1, 2]}}
    again = load(path)
    assert torch.equal(again.pop("weights"), torch.arange(3.0)) and again == state


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    assert load_latest(tmp_path / "nowhere") is None


@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_the_last_few_are_kept_and_nothing_else(tmp_path: Path, keep: int) -> None:
    steps = [5, 10, 100, 1000]
    save_steps(tmp_path, *steps, keep=keep)
    kept = [f"step-{step:08d}.pt" for step in steps[-keep:]]
    assert names(tmp_path) == kept
    assert [path.name for path in checkpoints(tmp_path)] == kept
    assert step_of_latest(tmp_path) == 1000


def test_fewer_are_kept_as_soon_as_fewer_are_wanted(tmp_path: Path) -> None:
    save_steps(tmp_path, 5, 10, 15, keep=3)
    save_steps(tmp_path, 20, keep=1)
    assert names(tmp_path) == ["step-00000020.pt"]


def test_steps_of_more_digits_are_later(tmp_path: Path) -> None:
    save_steps(tmp_path, 99_999_998, 99_999_999, 100_000_000)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-99999999.pt", "step-100000000.pt"]
    assert step_of_latest(tmp_path) == 100_000_000


def test_what_a_killed_process_left_half_written_is_no_checkpoint_and_goes(tmp_path: Path) -> None:
    save_steps(tmp_path, 5, 10)
    half = tmp_path / ".step-00000015.pt.partial-123"
    half.write_bytes(b"half")
    assert step_of_latest(tmp_path) == 10
    save_steps(tmp_path, 15)
    assert names(tmp_path) == ["step-00000010.pt", "step-00000015.pt"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_steps(tmp_path, 5)
    save(tmp_path, 5, {"seconds": 99.0}, keep=2)
    assert load_latest(tmp_path) == {"step": 5, "seconds": 99.0}


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_one_does_not_push_out_the_good_ones_before_it(tmp_path: Path, keep: int) -> None:
    """The run went on from step 5, and saves before it has come to step 10 again."""
    save_steps(tmp_path, 5, 10)
    (tmp_path / "step-00000010.pt").write_bytes(b"damaged")
    assert step_of_latest(tmp_path) == 5
    for step in (6, 7):
        save_steps(tmp_path, step, keep=keep)
        assert step_of_latest(tmp_path) == step
    save_steps(tmp_path, 10, 15, keep=keep)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010.pt", "step-00000015.pt"][-keep:]


@pytest.mark.parametrize("damage", ["truncated", "empty", "overwritten", "one byte", "one bit"])
def test_a_damaged_newest_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    save_steps(tmp_path, 5, 10)
    newest = tmp_path / "step-00000010.pt"
    whole = newest.read_bytes()
    value = whole.index(torch.full((1000,), 10.0).numpy().tobytes()) + 2000
    damaged = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "overwritten": bytes(len(whole)),
        "one byte": b"a",
        "one bit": whole[:value] + bytes([whole[value] ^ 4]) + whole[value + 1 :],
    }
    newest.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert step_of_latest(tmp_path) == 5
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message.startswith(f"{newest} is missing or damaged: ")
    assert record.message.endswith("; passed over") and "\n" not in record.message
    with pytest.raises(CheckpointError) as caught:
        load(newest)
    assert f"{caught.value}; passed over" == record.message


def test_one_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^.*/step-00000010\.pt is missing or damaged: .*No such file"):
        load(tmp_path / "step-00000010.pt")


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

    save(tmp_path, 5, {"harmless": Attack()}, keep=2)
    with pytest.raises(CheckpointError):
        load_latest(tmp_path)
    assert not (tmp_path / "attacked").exists()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from training.checkpoint import CheckpointError, save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with an error
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(Path(sys.argv[1]), 15, {"weights": torch.zeros(1_000_000)}, 1)
    except CheckpointError as error:
        print(error)
"""


def test_where_the_disk_is_full_the_earlier_ones_stay(tmp_path: Path, root: Path) -> None:
    """Full at the beginning of a checkpoint of 4 MB, in the midst of its tensor, and just before its end."""
    save_steps(tmp_path, 5, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = ["0", "10000", "2000000", "4000100"]
    words = [sys.executable, "-c", FULL_DISK, str(tmp_path), *limits]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=100)
    path = tmp_path / "step-00000015.pt"
    message = f"{path}: cannot be written ([Errno 27] File too large); earlier checkpoints are untouched"
    assert done.stdout.splitlines() == [message] * len(limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert step_of_latest(tmp_path) == 10


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"step-00000005\.pt: cannot be written \(\[Errno"):
        save_steps(tmp_path / "file" / "checkpoints", 5)
