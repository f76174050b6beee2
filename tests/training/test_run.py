"""The folder of a run: gone on with only as what it was begun, and by one process at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfie_hear.config import ConfigError, to_dict
from tests.training.processes import CPU
from tests.training.runs import SELDOM, ignore, metrics_of, steps_of, tiny
from training import checkpoint
from training.config import WATCHING, TrainConfig, with_settings
from training.corpus.crops import SamplingConfig
from training.corpus.pack import pack
from training.loop import Trainer
from training.recipes import get_recipe
from training.run import RunFolder, read_json

pytestmark = pytest.mark.usefixtures("few_curves")

DATA: dict[str, Any] = {"clips": 6, "hours": 10.5 / 3600, "sha256": "ab12", "sources": [{"source": "", "clips": 6}]}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def config() -> TrainConfig:
    """With what JSON knows only as something else: tuples, whole numbers as weights."""
    return with_settings(get_recipe("tiny"), ["sampling.column=domain", "sampling.weights.bird=2"])


@pytest.fixture
def run(tmp_path: Path, config: TrainConfig) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "one")
    run.adopt(config, DATA)
    return run


def test_a_new_folder_says_what_the_run_is_made_of(run: RunFolder, config: TrainConfig) -> None:
    assert sorted(contents(run.path)) == ["config.json", "data.json"]
    assert read_json(run.path / "config.json") == to_dict(config)
    assert read_json(run.path / "data.json") == DATA


def test_the_same_run_is_adopted_again(run: RunFolder, config: TrainConfig) -> None:
    before = contents(run.path)
    checkpoint.save(run.checkpoints, 5, {}, 2)
    RunFolder(run.path).adopt(config, json.loads(json.dumps(DATA)))
    assert contents(run.path) == before


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["batch=4"], "batch"),
        (["steps=21"], "steps"),
        (["augment.fader_gain=2.0"], "augment"),
        (["sampling.weights.bird=3"], "sampling"),
        (["seed=1", "accumulate=2", "log_every=7"], "accumulate, seed"),
    ],
)
def test_other_settings_are_refused_by_name(
    run: RunFolder, config: TrainConfig, settings: list[str], named: str
) -> None:
    before = contents(run.path)
    with pytest.raises(ConfigError, match=rf"with other settings \({named} of config.json differ\)"):
        run.adopt(with_settings(config, settings), DATA)
    assert contents(run.path) == before


@pytest.mark.parametrize("data", [{**DATA, "sha256": "ff"}, {**DATA, "more": 1}, {"sha256": "ab12"}])
def test_other_data_are_refused(run: RunFolder, config: TrainConfig, data: dict[str, Any]) -> None:
    before = contents(run.path)
    with pytest.raises(ConfigError, match=r"of data.json differ\): resume it with those"):
        run.adopt(config, data)
    assert contents(run.path) == before


def test_a_run_of_an_older_version_goes_on_with_the_defaults_of_new_settings(
    run: RunFolder, config: TrainConfig
) -> None:
    path = run.path / "config.json"
    older = to_dict(config)
    del older["augment"]["flip_probability"]
    path.write_text(json.dumps(older))
    with pytest.raises(ConfigError, match="augment of config.json differ"):
        run.adopt(with_settings(config, ["augment.flip_probability=0.5"]), DATA)
    run.adopt(config, DATA)
    assert read_json(path) == to_dict(config)


def test_settings_that_this_version_does_not_know_are_refused(run: RunFolder, config: TrainConfig) -> None:
    path = run.path / "config.json"
    path.write_text(json.dumps({**to_dict(config), "of_the_future": 1}))
    with pytest.raises(ConfigError, match="of_the_future"):
        run.adopt(config, DATA)


def test_how_the_run_is_watched_may_change_and_is_written_down(run: RunFolder, config: TrainConfig) -> None:
    checkpoint.save(run.checkpoints, 5, {}, 2)
    changed = replace(config, **dict.fromkeys(WATCHING, 7))
    run.adopt(changed, DATA)
    assert read_json(run.path / "config.json") == to_dict(changed)


@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_checkpoints_of_nobody_knows_what_are_not_gone_on_with(run: RunFolder, config: TrainConfig, name: str) -> None:
    checkpoint.save(run.checkpoints, 5, {}, 2)
    (run.path / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name}: missing, though the run has checkpoints; name a new folder"):
        run.adopt(config, DATA)
    assert not (run.path / name).exists()


@pytest.mark.parametrize("damage", [b"", b'{"batch": 8', b"[1, 2]", b"null", b"8", b"\xff\xfe"])
def test_damaged_settings_are_an_error_that_names_the_file(run: RunFolder, config: TrainConfig, damage: bytes) -> None:
    (run.path / "config.json").write_bytes(damage)
    with pytest.raises(ConfigError, match=r"config\.json: missing or damaged"):
        run.adopt(config, DATA)
    assert (run.path / "config.json").read_bytes() == damage


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: missing or damaged"):
        read_json(tmp_path / "config.json")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    path = tmp_path / "run"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="run: is a file; name a folder for the run"):
        RunFolder(path).adopt(config, DATA)
    assert path.read_text() == "precious"


HOLD = """
import sys
from pathlib import Path
from training.run import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["done", "killed"])
def test_one_process_trains_at_a_time_until_it_ends_in_whatever_way(run: RunFolder, root: Path, end: str) -> None:
    words = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ConfigError, match="one: another process is training there"), run.locked():
            pytest.fail("locked twice")
        if end == "killed":
            other.kill()
        else:
            other.stdin.close()
        other.wait(timeout=60)
        with run.locked():
            pass


def test_the_lock_goes_with_whatever_ends_the_training(run: RunFolder) -> None:
    with pytest.raises(KeyboardInterrupt), run.locked():
        raise KeyboardInterrupt
    with run.locked():
        pass


# Of a trainer


def test_checkpoints_without_their_settings_are_not_resumed(packed: Path, tmp_path: Path) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(1, ignore)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json: missing, though the run has checkpoints"):
        Trainer(tiny(), packed, tmp_path / "run", CPU)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 2e-3}, "learning_rate"),
        ({"seed": 1, "batch": 4}, "batch, seed"),
        ({"accumulate": 2}, "accumulate"),
        ({"sampling": SamplingConfig(by="clip")}, "sampling"),
        ({"objective_options": {"decay": 0.5, "head_hidden": 32, "head_outputs": 8}}, "objective_options"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(
    packed: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(0, ignore)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=rf"other settings \({named} of config.json differ\)"):
        Trainer(replace(tiny(), **changes), packed, tmp_path / "run", CPU)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert Trainer(tiny(), packed, tmp_path / "run", CPU).step == 0


def test_a_run_is_not_resumed_on_other_data(audio_folder: Path, packed: Path, tmp_path: Path) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(0, ignore)
    pack([audio_folder / "3.wav"], tmp_path / "other")
    with pytest.raises(ConfigError, match=r"other settings \(.*sha256.* of data.json differ\)"):
        Trainer(tiny(), tmp_path / "other", tmp_path / "run", CPU)


def test_a_file_in_place_of_the_run_folder_is_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a folder for the run"):
        Trainer(tiny(), packed, tmp_path / "run", CPU)


def test_a_run_that_trains_is_left_alone_by_others(packed: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def meddle(step: int, _values: dict[str, float]) -> None:
        if step == 2:
            with pytest.raises(ConfigError, match=f"{tmp_path / 'run'}: another process is training there"):
                Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(9, ignore)
            seen.append(f"{len(metrics_of(tmp_path / 'run'))} lines")

    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(3, meddle)
    assert seen == ["2 lines"]
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(4, ignore)  # the lock is free again
