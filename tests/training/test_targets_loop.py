"""Targets in the loop: runs that learn from them, are resumed with them, or are refused without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from selfie_hear.config import ConfigError
from tests.training.processes import CPU, Ended, command, in_ranks
from tests.training.runs import assert_same_state, ignore, metrics_of, tiny
from training.config import TrainConfig
from training.corpus.crops import SamplingConfig
from training.corpus.functionals import LICENCE
from training.loop import Trainer

pytestmark = pytest.mark.usefixtures("few_curves")


@pytest.fixture
def hybrid() -> TrainConfig:
    options = {"decay": 0.9, "head_hidden": 8}
    return replace(tiny(), objective="hybrid", objective_options=options, checkpoint_every=1000)


@pytest.mark.parametrize("views", [1, 2])
def test_hybrid_trains_and_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    packed: Path, targets: Path, tmp_path: Path, hybrid: TrainConfig, views: int
) -> None:
    config = replace(hybrid, sampling=SamplingConfig(crops_per_clip=views), accumulate=2)
    through = Trainer(config, packed, tmp_path / "through", CPU, targets=targets)
    through.fit(3, ignore)
    Trainer(config, packed, tmp_path / "run", CPU, targets=targets).fit(2, ignore)
    resumed = Trainer(config, packed, tmp_path / "run", CPU, targets=targets)
    resumed.fit(3, ignore)
    assert_same_state(resumed, through)
    assert all(line["supervised_loss"] > 0 and line["align_loss"] > 0 for line in metrics_of(tmp_path / "run"))


def test_hybrid_without_targets_or_with_others_than_its_heads_are_for_is_refused(
    packed: Path, targets: Path, tmp_path: Path, hybrid: TrainConfig
) -> None:
    with pytest.raises(ConfigError, match="hybrid learns from targets: make them with .* then name .* with --targets"):
        Trainer(hybrid, packed, tmp_path / "run", CPU)
    narrow = replace(hybrid, objective_options={"head_outputs": 256})
    with pytest.raises(ConfigError, match="head_outputs: must be as many as the values of a target, 6373, got 256"):
        Trainer(narrow, packed, tmp_path / "run", CPU, targets=targets)
    assert not (tmp_path / "run").exists()


def test_a_run_is_resumed_only_with_the_targets_it_was_begun_with(
    packed: Path, targets: Path, tmp_path: Path, hybrid: TrainConfig
) -> None:
    Trainer(hybrid, packed, tmp_path / "run", CPU, targets=targets).fit(1, ignore)
    other = tmp_path / "other"
    shutil.copytree(targets, other)
    about = json.loads((other / "targets.json").read_text())
    (other / "targets.json").write_text(json.dumps({**about, "seed": 1}))
    with pytest.raises(ConfigError, match=r"with other settings \(targets of data.json differ\)"):
        Trainer(hybrid, packed, tmp_path / "run", CPU, targets=other)
    Trainer(tiny(), packed, tmp_path / "selfie", CPU).fit(1, ignore)
    with pytest.raises(ConfigError, match=r"with other settings \(targets of data.json differ\)"):
        Trainer(tiny(), packed, tmp_path / "selfie", CPU, targets=targets)


def test_any_objective_may_train_on_the_crops_of_a_table(
    packed: Path, targets: Path, tmp_path: Path, hybrid: TrainConfig
) -> None:
    """So that it is compared with hybrid on the same sounds."""
    trainer = Trainer(tiny(), packed, tmp_path / "run", CPU, targets=targets)
    rows = np.arange(tiny().batch)
    heard = trainer.crops.read(1, rows)
    same = Trainer(hybrid, packed, tmp_path / "hybrid", CPU, targets=targets).crops.read(1, rows)
    free = Trainer(tiny(), packed, tmp_path / "free", CPU).crops.read(1, rows)
    assert torch.equal(heard.audio, same.audio)
    assert not torch.equal(heard.audio, free.audio)
    trainer.fit(2, ignore)
    assert "supervised_loss" not in metrics_of(tmp_path / "run")[0]


def commands(*lines: tuple[str | Path | int, ...]) -> list[Ended]:
    """Commands one after the other in one process: a job for `in_ranks`."""
    return [command(*line) for line in lines]


def test_the_commands(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "table"
    train = ("train", "tiny", "--data", packed, "--device", "cpu", "--max-steps", 1, "--set", "objective=hybrid")
    train = (*train, "--set", "objective_options.head_outputs=6373", "--out", tmp_path / "run")
    (said,) = in_ranks(
        1,
        commands,
        ("targets", packed, "-o", out, "--crops-per-clip", 1, "--workers", 1),
        ("targets", packed, "-o", out),
        ("targets", tmp_path / "nowhere", "-o", tmp_path / "other"),
        train,
        (*train, "--targets", out),
        (*train, "--targets", tmp_path / "nowhere"),
    )
    assert said[0] == Ended(0, f"{LICENCE}\n6/6 crops  0 min left\n{out}: targets of 6 crops\n")
    assert [ended.code for ended in said] == [0, 1, 1, 1, 0, 1]
    assert said[1].said == f"{LICENCE}\nerror: {out}: exists already; name a new folder\n"
    assert "nowhere: not a folder made by `python -m training pack`" in said[2].said
    assert "error: objective hybrid learns from targets" in said[3].said
    assert "supervised_loss " in said[4].said
    assert "nowhere: not a folder made by `python -m training targets`" in said[5].said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "table"]
