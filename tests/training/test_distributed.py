"""Several real processes train as one does: the trainer in float64, the command line, and torchrun."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.processes import CPU, Ended, command, finish, in_ranks, start
from tests.training.runs import TIMES, ignore, metrics_of, steps_of, tiny
from training.checkpoint import checkpoints, load_latest
from training.config import TrainConfig, with_settings
from training.corpus.crops import Batch
from training.loop import Trainer
from training.ranks import joined_ranks

STEPS = 4
# Dropout masks depend on the number of processes; the rest does not.
ALIKE = ("model.encoder.options.dropout=0.0",)
RUNS = {
    "plain": ALIKE,
    "accumulate": (*ALIKE, "accumulate=2"),
    "two crops": (*ALIKE, "sampling.crops_per_clip=2", "batch=4"),
}


@contextmanager
def in_float64() -> Iterator[None]:
    """A bias before a BatchNorm has no gradient but the rounding noise, of which Adam makes steps of the full learning
    rate unless it is far below its epsilon of 1e-8: in float64 it is, and runs can be compared value by value."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


class Doubled(nn.Module):
    """The front end, in float64."""

    def __init__(self, front_end: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end.double()

    def forward(self, audio: Tensor) -> Tensor:
        mel: Tensor = self.front_end(audio.double())
        return mel


def trainer_of(config: TrainConfig, data: Path, run: Path, ranks: Any) -> Trainer:
    trainer = Trainer(config, data, run, CPU, ranks)
    trainer.views.front_end = Doubled(trainer.views.front_end)  # type: ignore[assignment]
    return trainer


def first_steps(data: Path, folder: Path) -> dict[str, Any]:
    """Every number of the first steps of all runs."""
    with joined_ranks(CPU) as ranks, in_float64():
        return {
            name: list(numbers_of(with_settings(tiny(), settings), data, folder / name, ranks))
            for name, settings in RUNS.items()
        }


def numbers_of(config: TrainConfig, data: Path, run: Path, ranks: Any) -> Iterator[dict[str, Any]]:
    trainer = trainer_of(config, data, run, ranks)
    for _ in range(STEPS):
        terms = trainer.train_step(trainer.crops.read(trainer.step, trainer.rows))
        terms["embedding"] = ranks.gather(terms["embedding"])
        learning = {name: p for name, p in trainer.objective.named_parameters() if p.requires_grad}
        yield {
            "terms": terms,
            "gradients": {name: p.grad.clone() for name, p in learning.items() if p.grad is not None},
            "state": {name: value.clone() for name, value in trainer.objective.state_dict().items()},
            "seed": torch.initial_seed(),  # of dropout
        }


@pytest.fixture(scope="module")
def found(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """By number of processes, and there by process: every number of the first steps."""
    folder = tmp_path_factory.mktemp("runs")
    return {count: in_ranks(count, first_steps, packed, folder / str(count)) for count in (1, 2)}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("what", ["terms", "gradients", "state"])
def test_two_processes_take_the_steps_of_one(found: dict[int, list[dict[str, Any]]], name: str, what: str) -> None:
    (whole,), halves = found[1], found[2]
    first = whole[name][0]
    assert first["state"]["target.encoder.fc1.weight"].dtype == torch.float64
    assert len(first["gradients"]) == 26 and len(first["state"]) > 60
    for step in range(STEPS):
        expected = whole[name][step][what]
        for half in halves:
            assert list(half[name][step][what]) == list(expected)
            for key, value in half[name][step][what].items():
                torch.testing.assert_close(
                    value, expected[key], rtol=1e-8, atol=3e-8, msg=lambda text, k=key, s=step: f"step {s}, {k}: {text}"
                )


@pytest.mark.parametrize("name", RUNS)
def test_steps_change_everything_that_is_compared(found: dict[int, list[dict[str, Any]]], name: str) -> None:
    """Gradients are not so small, and targets do not stand so still, that the tolerance would hide what they do."""
    steps = found[1][0][name]
    before, after = steps[0]["state"], steps[-1]["state"]
    for key, value in after.items():
        if key.endswith("weight") or "running" in key or "tracked" in key:
            assert (value - before[key]).abs().max() > 1e-6, key
    for step in steps:
        assert all(value.abs().max() > 1e-6 for key, value in step["gradients"].items() if key.endswith("weight"))


@pytest.mark.parametrize("name", RUNS)
def test_the_networks_of_all_processes_stay_the_same_bit_for_bit(
    found: dict[int, list[dict[str, Any]]], name: str
) -> None:
    one, other = found[2]
    for key, value in one[name][-1]["state"].items():
        assert torch.equal(value, other[name][-1]["state"][key]), key


def test_dropout_is_another_one_in_each_process_and_step(found: dict[int, list[dict[str, Any]]]) -> None:
    seeds = [step["seed"] for there in found[2] for step in there["plain"]]
    assert len(set(seeds)) == 2 * STEPS
    assert [step["seed"] for step in found[1][0]["plain"]] == seeds[:STEPS]


# A run that changes the number of its processes.


def go_on(data: Path, folder: Path, runs: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Train the run of each name up to a step; returns what it then is."""
    config = replace(with_settings(tiny(), ALIKE), checkpoint_every=100)
    with joined_ranks(CPU) as ranks, in_float64():
        return {name: fitted(trainer_of(config, data, folder / name, ranks), until) for name, until in runs.items()}


def fitted(trainer: Trainer, until: int) -> dict[str, Any]:
    before = trainer.step
    trainer.fit(until, ignore)
    return {"steps": (before, trainer.step), **trainer.objective.state_dict()}


def test_a_run_goes_on_with_another_number_of_processes(packed: Path, tmp_path: Path) -> None:
    (alone,) = in_ranks(1, go_on, packed, tmp_path, {"1-2": 2, "whole": 4})
    together = in_ranks(2, go_on, packed, tmp_path, {"1-2": 4, "2-1": 2})
    (again,) = in_ranks(1, go_on, packed, tmp_path, {"2-1": 4})
    for state in (together[0]["1-2"], together[1]["1-2"], again["2-1"]):
        assert state["steps"] == (2, 4)
        for key, value in alone["whole"].items():
            if key != "steps":
                torch.testing.assert_close(state[key], value, rtol=1e-8, atol=3e-8, msg=key)


def asked_to_stop(data: Path, run: Path) -> int:
    """Only the second process gets the signal, in its third step."""
    with joined_ranks(CPU) as ranks:
        return stopped(Trainer(replace(tiny(), checkpoint_every=100), data, run, CPU, ranks))


def stopped(trainer: Trainer) -> int:
    step = trainer.train_step

    def train_step(batch: Batch) -> dict[str, Tensor]:
        if trainer.step == 2 and not trainer.ranks.first:
            signal.raise_signal(signal.SIGTERM)
        return step(batch)

    trainer.train_step = train_step  # type: ignore[method-assign]
    trainer.fit(50, ignore)
    return trainer.step


def test_all_processes_stop_after_the_same_step_when_one_is_asked_to(packed: Path, tmp_path: Path) -> None:
    assert in_ranks(2, asked_to_stop, packed, tmp_path) == [3, 3]
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000003.pt"]


# The command line. In float32, and so that rounding noise moves the weights little.

GENTLE = ("--set", "model.encoder.options.dropout=0.0", "--set", "learning_rate=1e-5")


def assert_same_metrics(found: Path, expected: Path, count: int) -> None:
    ours, theirs = metrics_of(found), metrics_of(expected)
    assert [line["step"] for line in ours] == list(range(1, count + 1))
    assert [line["step"] for line in theirs] == list(range(1, count + 1))
    for our, their in zip(ours, theirs, strict=True):
        assert our.keys() == their.keys() >= TIMES
        for key in our.keys() - TIMES:
            assert our[key] == pytest.approx(their[key], rel=2e-4, abs=1e-5), f"step {our['step']}, {key}"


def test_three_processes_on_one_shard_measure_what_one_does(packed: Path, tmp_path: Path) -> None:
    assert len(list(packed.glob("audio-*.i16"))) == 1
    words = ("train", "tiny", "--data", packed, "--device", "cpu", "--max-steps", 3, *GENTLE)
    words = (*words, "--set", "batch=12", "--set", "accumulate=2")
    said = in_ranks(3, command, *words, "--out", tmp_path / "three")
    assert said[0].code == 0, said
    assert "in 3 processes, step 0 of 3" in said[0].said and "stopped after step 3" in said[0].said
    assert said[1:] == [Ended(0, "")] * 2  # one speaks for all
    assert in_ranks(1, command, *words, "--out", tmp_path / "one")[0].code == 0
    assert_same_metrics(tmp_path / "three", tmp_path / "one", 3)


def test_mistakes_end_all_processes_and_are_explained(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny", "--data", packed, "--out", run, "--device", "cpu", "--max-steps", 1)
    uneven = in_ranks(2, command, *words, "--set", "batch=6", "--set", "accumulate=2")
    why = "3 crops cannot be shared out evenly among 2 processes: batch / accumulate must be a multiple of their number"
    assert uneven == [Ended(1, f"error: {why}\n"), Ended(1, f"error in process 1: {why}\n")]
    assert not run.exists()

    assert [ended.code for ended in in_ranks(2, command, *words, "--set", "precision=bf16")] == [0, 0]
    assert all(-1e3 < line["loss"] < 1e3 for line in metrics_of(run))
    first, second = in_ranks(2, command, *words, "--set", "batch=4")
    assert first.code == second.code == 1
    assert first.said.startswith(f"error: {run} is a run with other settings (batch, precision of config.json differ)")
    assert second.said == first.said.replace("error:", "error in process 1:")


def unwritable(folder: Path, *words: str | Path | int) -> Ended:
    """The command, in a run whose checkpoints cannot be written."""
    (folder / "checkpoints").parent.mkdir(exist_ok=True)
    (folder / "checkpoints").write_text("in the way")
    return command(*words)


def test_a_checkpoint_that_cannot_be_written_ends_all_processes(packed: Path, tmp_path: Path) -> None:
    """Only the first process writes; the other must not wait for it for ever."""
    run = tmp_path / "run"
    words = ("train", "tiny", "--data", packed, "--out", run, "--device", "cpu", "--set", "checkpoint_every=2")
    first, second = in_ranks(2, unwritable, run, *words)
    assert first.code == second.code == 1
    assert "cannot be written" in first.said and "Traceback" not in first.said
    assert "another process has stopped" in second.said


def test_torchrun_stops_at_a_signal_with_a_checkpoint_and_goes_on(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny", "--data", packed, "--out", run, "--device", "cpu", *GENTLE)
    words = (*words, "--set", "checkpoint_every=1000000")
    process = start(*words, "--max-steps", 1000000, processes=2)
    while process.poll() is None and not (run / "metrics.jsonl").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = finish(process).said
    assert said.count("SIGTERM: saving") == 1 and "in 2 processes, step 0 of" in said, said
    assert "FutureWarning" not in said and "UserWarning" not in said
    state = load_latest(run / "checkpoints")
    assert state is not None
    stopped = state["step"]
    assert steps_of(run) == list(range(1, stopped + 1))

    ended = in_ranks(2, command, *words, "--max-steps", stopped + 2)[0]
    assert f"in 2 processes, step {stopped} of {stopped + 2}" in ended.said
    assert [path.name for path in checkpoints(run / "checkpoints")][-1] == f"step-{stopped + 2:08d}.pt"
    assert in_ranks(1, command, *words, "--out", tmp_path / "one", "--max-steps", stopped + 2)[0].code == 0
    assert_same_metrics(run, tmp_path / "one", stopped + 2)
