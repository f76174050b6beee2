"""Where a run starts: at its own last checkpoint, bit for bit, or from the encoders of a release."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfie_hear.config import ConfigError
from selfie_hear.pretrained import load_release
from tests.training.processes import CPU
from tests.training.runs import SELDOM, assert_same_state, ignore, metrics_of, steps_of, tiny, without_times
from training.checkpoint import checkpoints
from training.corpus.crops import SamplingConfig
from training.export import export
from training.loop import Trainer

pytestmark = pytest.mark.usefixtures("few_curves")


# Its own checkpoint


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"sampling": SamplingConfig(crops_per_clip=2)}])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    packed: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(SELDOM, **changes)
    through = Trainer(config, packed, tmp_path / "through", CPU)
    through.fit(6, ignore)
    first = Trainer(config, packed, tmp_path / "halves", CPU)
    first.fit(3, ignore)
    torch.manual_seed(12345)  # whatever happened in between
    second = Trainer(config, packed, tmp_path / "halves", CPU)
    assert second.step == 3
    assert second.seconds == first.seconds > 0
    second.fit(6, ignore)
    assert_same_state(second, through)
    assert without_times(metrics_of(tmp_path / "halves")) == without_times(metrics_of(tmp_path / "through"))


def test_a_run_killed_between_checkpoints_is_repeated_from_the_last_one(packed: Path, tmp_path: Path) -> None:
    """Checkpoint at step 2, killed after step 3: no checkpoint, but a line of it in the journal."""
    config = replace(tiny(), checkpoint_every=2)

    def kill(step: int, _values: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, packed, tmp_path / "run", CPU).fit(4, kill)
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    resumed = Trainer(config, packed, tmp_path / "run", CPU)
    assert resumed.step == 2
    resumed.fit(4, ignore)
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]

    through = Trainer(config, packed, tmp_path / "through", CPU)
    through.fit(4, ignore)
    assert_same_state(resumed, through)


def test_where_a_resumed_run_cannot_be_bit_equal_it_says_so(
    packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Trainer(SELDOM, packed, tmp_path, CPU).fit(1, ignore)
    threads = torch.get_num_threads()
    Trainer(SELDOM, packed, tmp_path, CPU)
    assert "bit for bit" not in caplog.text
    try:
        torch.set_num_threads(threads + 1)
        resumed = Trainer(SELDOM, packed, tmp_path, CPU)
    finally:
        torch.set_num_threads(threads)
    assert resumed.step == 1
    assert f"not bit for bit what it would have been: threads {threads + 1} instead of {threads}\n" in caplog.text


def test_how_a_run_is_watched_may_change_when_it_is_resumed(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(replace(tiny(), log_every=1, checkpoint_every=1, keep_checkpoints=3), packed, run, CPU).fit(3, ignore)
    assert [path.name for path in checkpoints(run / "checkpoints")] == [f"step-0000000{n}.pt" for n in (1, 2, 3)]
    config = replace(tiny(), log_every=2, checkpoint_every=4, keep_checkpoints=1)
    Trainer(config, packed, run, CPU).fit(7, ignore)
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000007.pt"]
    assert steps_of(run) == [1, 2, 3, 4, 6, 7]
    assert json.loads((run / "config.json").read_text())["keep_checkpoints"] == 1
    through = Trainer(SELDOM, packed, tmp_path / "through", CPU)
    through.fit(7, ignore)
    assert_same_state(Trainer(config, packed, run, CPU), through)


def test_a_finished_run_is_left_as_it_is(packed: Path, tmp_path: Path) -> None:
    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(2, ignore)
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*/*.pt")}
    again = Trainer(SELDOM, packed, tmp_path / "run", CPU)
    again.fit(2, ignore)
    assert again.step == 2
    assert len(before) == 1
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*/*.pt")} == before


# A release


@pytest.fixture(scope="module")
def release(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported from three steps of the tiny recipe."""
    folder = tmp_path_factory.mktemp("release")
    Trainer(SELDOM, packed, folder / "run", CPU).fit(3, ignore)
    export(folder / "run", folder / "mine")
    return folder / "mine"


def test_a_run_starts_from_the_encoders_of_a_release_and_goes_on_from_its_own(
    packed: Path, release: Path, tmp_path: Path
) -> None:
    config = replace(SELDOM, init="mine", seed=7)
    trainer = Trainer(config, packed, tmp_path / "run", CPU, init=release)
    fresh = Trainer(replace(SELDOM, seed=7), packed, tmp_path / "fresh", CPU).objective.state_dict()
    for branch, encoder in trainer.objective.encoders().items():
        theirs = load_release(release, branch).encoder.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in encoder.state_dict().items())
        assert not torch.equal(theirs["fc1.weight"], fresh[f"{branch}.encoder.fc1.weight"])
    heads = {name: value for name, value in trainer.objective.state_dict().items() if ".encoder." not in name}
    assert len(heads) > 20
    assert all(torch.equal(value, fresh[name]) for name, value in heads.items())

    trainer.fit(2, ignore)
    resumed = Trainer(config, packed, tmp_path / "run", CPU, init=release)
    assert resumed.step == 2
    assert_same_state(resumed, trainer)
    with pytest.raises(ConfigError, match=r"other settings \(init of config.json differ\)"):
        Trainer(replace(config, init=""), packed, tmp_path / "run", CPU)


def test_a_release_of_another_model_is_refused(packed: Path, release: Path, tmp_path: Path) -> None:
    model = replace(
        tiny().model,
        encoder=replace(tiny().model.encoder, options={"channels": 8, "hidden": 16}),
    )
    with pytest.raises(ConfigError, match=r"--init .*mine: its model is not the recipe's; it is .*'channels': 4"):
        Trainer(replace(tiny(), model=model), packed, tmp_path / "run", CPU, init=release)
    assert not (tmp_path / "run").exists()
