"""The checkpoints of a run of the recipe `tiny`, judged."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfie_hear import get_scene_embeddings, load_model
from selfie_hear.config import ConfigError
from tests.conftest import noise
from tests.training.runs import ignore, tiny
from tests.training.test_finetune import either, make_task
from training.checkpoint import CheckpointError, checkpoints
from training.evaluate import history as module
from training.evaluate.embeddings import embed_task
from training.evaluate.history import history
from training.evaluate.linear import LinearConfig, linear_probe
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import SceneTask, TaskError
from training.export import export
from training.loop import Trainer

QUICK = LinearConfig(epochs=20, learning_rate=0.01, seeds=2)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps 4, 8 and 10."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    config = replace(tiny(), checkpoint_every=4, keep_checkpoints=1000, learning_rate=0.02)
    Trainer(config, packed, run, CPU).fit(10, ignore)
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy, to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "mine"))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[SceneTask]:
    folder = tmp_path_factory.mktemp("tasks")
    hard = make_task(folder / "either", either, {"train": 40, "valid": 10, "test": 40})
    return [hard, make_task(folder / "tones", splits=dict.fromkeys(("train", "valid", "test"), 8))]


@pytest.fixture(scope="module")
def judged(trained: Path, tasks: list[SceneTask]) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """The history, and what was reported meanwhile."""
    seen: list[tuple[int, int]] = []
    return history(trained, tasks, QUICK, report=lambda *now: seen.append(now)), seen


def test_every_checkpoint_branch_and_task(judged: tuple[dict[str, Any], list[tuple[int, int]]]) -> None:
    found, seen = judged
    assert json.loads(json.dumps(found)) == found
    assert (found["kind"], found["run"], found["config"]["seeds"]) == ("history", "mine", 2)
    order = [(row["step"], row["branch"], row["task"]) for row in found["rows"]]
    assert order == [(s, b, t) for s in (4, 8, 10) for b in ("online", "target") for t in ("either", "tones")]
    assert seen == sorted(seen) and seen[-1] == (6 * 114, 6 * 114)
    epochs = [row["epoch"] for row in found["rows"]]
    assert epochs == [pytest.approx(row["step"] * 8 / 12, rel=1e-3) for row in found["rows"]]  # 8 of 12 crops
    assert len({row["accuracy"] for row in found["rows"] if row["task"] == "either"}) > 2


def test_the_last_is_what_export_releases(
    judged: tuple[dict[str, Any], object], trained: Path, tasks: list[SceneTask], tmp_path: Path
) -> None:
    export(trained, tmp_path / "release")
    clips = torch.stack([noise(9000, seed) for seed in range(2)])
    last = checkpoints(trained / "checkpoints")[-1]
    rows = [row for row in judged[0]["rows"][-4:] if row["task"] == "either"]
    scenes = []
    for branch, row in zip(("online", "target"), rows, strict=True):
        mine, released = module.load_model(str(last), branch), load_model(tmp_path / "release", branch=branch)
        scenes.append(get_scene_embeddings(clips, mine))
        torch.testing.assert_close(scenes[-1], get_scene_embeddings(clips, released), rtol=0.01, atol=0.01)  # rounded
        for name, value in mine.encoder.state_dict().items():
            assert torch.equal(_stored(value), _stored(released.encoder.state_dict()[name])), name
        spec = ModelSpec("x", "training.evaluate.history", str(last), {"branch": branch})
        scores = linear_probe(tasks[0], embed_task(tasks[0], HearModel(spec)), QUICK)
        assert row["accuracy"] == pytest.approx(scores.metrics["accuracy"].mean())
    assert not torch.allclose(scenes[0], scenes[1], rtol=0.01, atol=0.01)


def _stored(value: torch.Tensor) -> torch.Tensor:
    return value.half() if value.ndim > 1 else value


def test_what_is_embedded_is_kept(trained: Path, tasks: list[SceneTask], tmp_path: Path) -> None:
    first = history(trained, tasks[1:], QUICK, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 6  # one for each checkpoint and branch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HearModel, "embed", lambda *_: pytest.fail("embedded again"))
        assert history(trained, tasks[1:], QUICK, tmp_path / "cache") == first


def test_random_state_is_left_alone(trained: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    module.load_model(str(checkpoints(trained / "checkpoints")[0]))
    assert torch.equal(torch.rand(3), expected)


def test_damaged_ones_are_passed_over(run: Path, tasks: list[SceneTask], caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = checkpoints(run / "checkpoints")
    first.write_bytes(first.read_bytes()[:1000])
    spoilt = bytearray(third.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1  # torch itself would not notice
    third.write_bytes(spoilt)
    seen: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING):
        found = history(run, tasks[1:], QUICK, report=lambda *now: seen.append(now))
    assert [(row["step"], row["branch"]) for row in found["rows"]] == [(8, "online"), (8, "target")]
    assert seen[:3] == [(24, 144), (48, 144), (48, 144)] and seen[-1] == (144, 144)
    for path, count in ((first, 2), (second, 0), (third, 2)):
        assert sum(str(path) in message for message in caplog.messages) == count
    with pytest.raises(CheckpointError, match=r"-00000010\.pt is missing or damaged: the checksum of .* is not"):
        module.load_model(str(third))
    second.unlink()
    with pytest.raises(TaskError, match="none of its 2 checkpoints can be read"):
        history(run, tasks[1:], QUICK)


def test_without_a_journal_there_are_no_epochs(run: Path, tasks: list[SceneTask]) -> None:
    (run / "metrics.jsonl").unlink()
    for path in checkpoints(run / "checkpoints")[1:]:
        path.unlink()
    assert [row["epoch"] for row in history(run, tasks[1:], QUICK)["rows"]] == [None, None]


def test_errors(run: Path, tasks: list[SceneTask], tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="tones: is multilabel"):
        history(run, [tasks[0], replace(tasks[1], multilabel=True)], QUICK)
    with pytest.raises(TaskError, match=r"nowhere: has no checkpoint .*--set keep_checkpoints=1000"):
        history(tmp_path / "nowhere", tasks, QUICK)
    (run / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="missing key 'recipe'"):
        history(run, tasks, QUICK)
