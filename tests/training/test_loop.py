"""The loop on a network of a few thousand values: what it hears, what it leaves, when it stops."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfie_hear.config import ConfigError
from tests.training.processes import CPU
from tests.training.runs import SELDOM, TIMES, ignore, metrics_of, steps_of, tiny
from training.checkpoint import checkpoints
from training.corpus.crops import Batch
from training.corpus.pack import pack
from training.corpus.shards import PackError
from training.loop import Trainer
from training.ranks import Ranks

pytestmark = pytest.mark.usefixtures("few_curves")


def test_a_run_leaves_its_settings_its_metrics_its_curves_and_its_last_checkpoints(
    packed: Path, tmp_path: Path
) -> None:
    shown: list[int] = []
    run = tmp_path / "run"
    config = replace(tiny(), log_every=3, checkpoint_every=2)
    Trainer(config, packed, run, CPU).fit(7, lambda step, _: shown.append(step))
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "data.json", "metrics.jsonl", "curves.png"),
        *("checkpoints", "tensorboard", ".lock"),
    }
    assert [path.name for path in (run / "checkpoints").iterdir() if path.suffix != ".pt"] == []
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000006.pt", "step-00000007.pt"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert shown == steps_of(run) == [3, 6, 7]
    assert json.loads((run / "config.json").read_text())["learning_rate"] == 1e-3
    last = metrics_of(run)[-1]
    assert {"loss", "align_loss", "diversity_loss", "decorrelation_loss", "embedding_std", "effective_rank"} < set(last)
    assert set(last) > TIMES
    assert (last["learning_rate"], last["ema_decay"]) == (1e-3, 0.9)
    assert last["epoch"] == pytest.approx(7 * 8 / 12, abs=1e-4)  # 1 + 1 + 2 + 2 + 3 + 3 crops of six clips


def test_training_brings_the_views_of_a_clip_together(packed: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(40, lambda _, values: losses.append(values["align_loss"]))
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_audio_of_another_sample_rate_is_refused(audio_folder: Path, tmp_path: Path) -> None:
    pack([audio_folder], tmp_path / "pack", 8000, workers=1)
    with pytest.raises(ConfigError, match="holds 8000 Hz audio, the model takes 16000 Hz"):
        Trainer(tiny(), tmp_path / "pack", tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_data_that_is_no_pack_is_refused_before_a_run_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a folder made by"):
        Trainer(tiny(), tmp_path, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_each_step_of_a_run_hears_the_batch_of_its_number(packed: Path, tmp_path: Path) -> None:
    """Also after a resume, for which the reading ahead begins at the step."""
    heard: list[Batch] = []
    for until in (2, 5):
        trainer = Trainer(SELDOM, packed, tmp_path, CPU)
        step = trainer.train_step
        trainer.train_step = lambda batch, step=step: heard.append(batch) or step(batch)  # type: ignore[assignment]
        trainer.fit(until, ignore)
    expected = [trainer.crops.read(number, trainer.rows) for number in range(5)]
    assert len(heard) == 5
    assert all(torch.equal(here.audio, there.audio) for here, there in zip(heard, expected, strict=True))
    assert all(torch.equal(here.clips, there.clips) for here, there in zip(heard, expected, strict=True))
    assert not torch.equal(heard[0].audio, heard[1].audio)


def test_asked_twice_by_the_keyboard_it_stops_at_once_and_by_others_it_takes_its_time(
    packed: Path, tmp_path: Path
) -> None:
    """torchrun hands its own SIGINT on, so that several processes get it twice when it is pressed once."""
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer._ask_to_stop(signal.SIGTERM, None)
    trainer._ask_to_stop(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        trainer._ask_to_stop(signal.SIGINT, None)
    trainer.ranks = Ranks(0, 2)
    trainer._ask_to_stop(signal.SIGINT, None)
    assert trainer._stop


def test_a_run_that_is_asked_to_stop_ends_after_its_step_and_gives_the_signals_back(
    packed: Path, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(9, lambda step, _: signal.raise_signal(signal.SIGINT) if step == 2 else None)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000002.pt"]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
