"""A run that is killed at any moment and started again is the run that nobody killed."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import torch

from tests.training.processes import command, forked, in_ranks
from tests.training.runs import metrics_of, steps_of, tensors_of, without_times
from training.checkpoint import checkpoints, load_latest

EVERY, KILLS = 3, 4


def last_step(run: Path) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    last = checkpoints(run / "checkpoints")[-1:]
    return int(last[0].stem.removeprefix("step-")) if last else 0


def assert_same_run(found: Path, expected: Path, seed: int) -> None:
    ours, theirs = load_latest(found / "checkpoints"), load_latest(expected / "checkpoints")
    assert ours is not None and theirs is not None
    assert ours["step"] == theirs["step"]
    ours, theirs = dict(tensors_of(ours)), dict(tensors_of(theirs))
    assert ours.keys() == theirs.keys() and len(ours) > 100, f"random seed {seed}"
    different = [name for name in theirs if not torch.equal(ours[name], theirs[name])]
    assert different == [], f"random seed {seed}"
    assert without_times(metrics_of(found)) == without_times(metrics_of(expected)), f"random seed {seed}"


def test_a_run_that_is_killed_at_random_is_the_same_in_the_end(packed: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    moment = random.Random(seed).uniform
    run, through = tmp_path / "killed", tmp_path / "through"
    words = ("train", "tiny", "--data", packed, "--device", "cpu", "--set", f"checkpoint_every={EVERY}", "--max-steps")
    saved = [0]
    for number in range(KILLS):
        process = forked(command, *words, 1000000, "--out", run)
        # The first one anywhere; the others in the next steps or checkpoints after one that they have written.
        deadline = time.monotonic() + 60
        while number and process.is_alive() and last_step(run) == saved[-1]:
            assert time.monotonic() < deadline, f"no checkpoint in a minute, random seed {seed}"
            time.sleep(0.01)
        time.sleep(moment(0, 0.7))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"it has ended by itself, random seed {seed}"
        saved.append(last_step(run))
    assert 0 <= saved[1] < saved[2] < saved[3] < saved[4], f"random seed {seed}"

    until = saved[-1] + EVERY + 1
    (ended,), (alone,) = (in_ranks(1, command, *words, until, "--out", folder) for folder in (run, through))
    assert ended.code == alone.code == 0, ended.said
    assert f"step {saved[-1]} of {until}" in ended.said and f"step 0 of {until}" in alone.said
    assert steps_of(run) == list(range(1, until + 1)), f"random seed {seed}"
    assert_same_run(run, through, seed)
