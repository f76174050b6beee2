"""The loop on a network of a few thousand values: its schedules, its resumption and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfie_hear.config import ConfigError, EncoderConfig
from training.checkpoint import checkpoints
from training.config import TrainConfig
from training.corpus.pack import PackError, pack
from training.loop import Trainer, TrainingError, build_objective, resolve_precision
from training.recipes import tiny

CPU = torch.device("cpu")


def ignore(_step: int, _values: dict[str, float]) -> None: ...


def tensors_of(values: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dictionaries and lists, with its place."""
    if isinstance(values, Tensor):
        yield name, values
    elif isinstance(values, dict | list | tuple):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from tensors_of(value, f"{name}.{key}")


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(tensors_of([trainer.objective.state_dict(), trainer.optimiser.state_dict()]))


def metrics_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(packed: Path, tmp_path: Path) -> None:
    through = Trainer(tiny(), packed, tmp_path / "through", CPU)
    through.fit(6, ignore)
    first = Trainer(tiny(), packed, tmp_path / "halves", CPU)
    first.fit(3, ignore)
    torch.manual_seed(12345)  # whatever happened in between
    second = Trainer(tiny(), packed, tmp_path / "halves", CPU)
    assert second.step == 3
    second.fit(6, ignore)

    expected, found = state_of(through), state_of(second)
    assert found.keys() == expected.keys()
    assert len(found) > 50
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    for there, here in zip(metrics_of(tmp_path / "through"), metrics_of(tmp_path / "halves"), strict=True):
        del there["crops_per_second"], here["crops_per_second"]
        assert there == here


def test_a_run_killed_between_checkpoints_is_repeated_from_the_last_one(packed: Path, tmp_path: Path) -> None:
    """Checkpoint at step 2, killed after step 3: no checkpoint, but a line of it in the journal."""
    config = replace(tiny(), checkpoint_every=2)

    def kill(step: int, _values: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, packed, tmp_path / "run", CPU).fit(4, kill)
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [1, 2, 3]
    resumed = Trainer(config, packed, tmp_path / "run", CPU)
    assert resumed.step == 2
    resumed.fit(4, ignore)
    assert [line["step"] for line in metrics_of(tmp_path / "run")] == [1, 2, 3, 4]

    through = Trainer(config, packed, tmp_path / "through", CPU)
    through.fit(4, ignore)
    expected, found = state_of(through), state_of(resumed)
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_a_run_leaves_its_settings_its_metrics_and_its_last_checkpoints(packed: Path, tmp_path: Path) -> None:
    shown: list[int] = []
    config = replace(tiny(), log_every=3, checkpoint_every=2)
    Trainer(config, packed, tmp_path / "run", CPU).fit(7, lambda step, _: shown.append(step))
    assert [path.name for path in checkpoints(tmp_path / "run" / "checkpoints")] == [
        "step-00000006.pt",
        "step-00000007.pt",
    ]
    assert shown == [line["step"] for line in metrics_of(tmp_path / "run")] == [3, 6, 7]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["learning_rate"] == 1e-3
    last = metrics_of(tmp_path / "run")[-1]
    assert {"loss", "align_loss", "diversity_loss", "decorrelation_loss", "embedding_std", "effective_rank"} < set(last)
    assert (last["learning_rate"], last["ema_decay"]) == (1e-3, 0.9)
    assert last["epoch"] == pytest.approx(7 * 8 / 12, abs=1e-4)  # 1 + 1 + 2 + 2 + 3 + 3 crops of six clips


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
        ({"objective_options": {"decay": 0.5, "head_hidden": 32, "head_outputs": 8}}, "objective_options"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(
    packed: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=rf"other settings \({named} of config.json differ\)"):
        Trainer(replace(tiny(), **changes), packed, tmp_path / "run", CPU)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert Trainer(tiny(), packed, tmp_path / "run", CPU).step == 0


def test_a_loss_that_is_no_number_stops_the_run_and_spares_the_checkpoints(packed: Path, tmp_path: Path) -> None:
    """A learning rate at which the first step makes the weights overflow."""
    config = replace(tiny(), learning_rate=1e38, checkpoint_every=100)
    trainer = Trainer(config, packed, tmp_path / "run", CPU)
    trainer.save()
    (path,) = checkpoints(tmp_path / "run" / "checkpoints")
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"step 1: the loss is (nan|inf).*Lower learning_rate"):
        trainer.fit(10, ignore)
    assert checkpoints(tmp_path / "run" / "checkpoints") == [path]
    assert path.read_bytes() == before
    assert Trainer(config, packed, tmp_path / "run", CPU).step == 0


def test_audio_of_another_sample_rate_is_refused(audio_folder: Path, tmp_path: Path) -> None:
    pack([audio_folder], tmp_path / "pack", 8000, workers=1)
    with pytest.raises(ConfigError, match="holds 8000 Hz audio, the model takes 16000 Hz"):
        Trainer(tiny(), tmp_path / "pack", tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_data_that_is_no_pack_is_refused_before_a_run_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a folder made by"):
        Trainer(tiny(), tmp_path, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def rates(config: TrainConfig, packed: Path, run: Path, steps: list[int]) -> list[float]:
    trainer = Trainer(config, packed, run, CPU)
    return [trainer.learning_rate(step) for step in steps]


def test_constant_learning_rate_after_a_warm_up(packed: Path, tmp_path: Path) -> None:
    config = replace(tiny(), learning_rate=0.8, warmup_steps=4)
    found = rates(config, packed, tmp_path, [0, 1, 2, 3, 4, 1000])
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates(replace(tiny(), learning_rate=0.8), packed, tmp_path / "no_warm_up", [0, 19]) == [0.8, 0.8]


def test_cosine_learning_rate_after_a_warm_up(packed: Path, tmp_path: Path) -> None:
    """Steps 2 to 14 are half a wave: a quarter of it at 5 (cos 45 degrees), half at 8, the end at 14."""
    config = replace(tiny(), learning_rate=0.8, schedule="cosine", warmup_steps=2, steps=14)
    found = rates(config, packed, tmp_path, [0, 1, 2, 5, 8, 14, 20])
    assert found == pytest.approx([0.4, 0.8, 0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.0, 0.0])


def test_the_optimiser_takes_the_rate_of_the_step(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(tiny(), learning_rate=0.001, warmup_steps=4), packed, tmp_path, CPU)
    taken = []
    for _ in range(3):
        trainer.train_step()
        taken.append(trainer.optimiser.param_groups[0]["lr"])
    assert taken == pytest.approx([0.00025, 0.0005, 0.00075])


def test_a_step_moves_the_online_network_and_then_the_target_after_it(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny(), packed, tmp_path, CPU)
    before = {name: value.clone() for name, value in trainer.objective.state_dict().items()}
    trainer.train_step()
    after = trainer.objective.state_dict()
    for name in ("encoder.fc1.weight", "encoder.norm0.running_mean", "projector.0.weight"):
        assert not torch.equal(after[f"online.{name}"], before[f"online.{name}"])
        expected = 0.9 * before[f"target.{name}"] + 0.1 * after[f"online.{name}"]
        torch.testing.assert_close(after[f"target.{name}"], expected)


def test_each_step_hears_the_batch_of_its_number(packed: Path, tmp_path: Path) -> None:
    """Two runs whose first batches are equal and whose second ones are not."""
    trainer, other = Trainer(tiny(), packed, tmp_path / "a", CPU), Trainer(tiny(), packed, tmp_path / "b", CPU)
    other.crops = {0: trainer.crops[0], 1: trainer.crops[7]}  # type: ignore[assignment]
    assert torch.equal(trainer.train_step()["loss"], other.train_step()["loss"])
    assert not torch.equal(trainer.train_step()["loss"], other.train_step()["loss"])


def test_a_crop_gives_the_number_of_centred_frames(packed: Path, tmp_path: Path) -> None:
    """0.95 s every 10 ms: 96 frames, the outer ones centred on the ends of the crop."""
    trainer = Trainer(tiny(), packed, tmp_path, CPU)
    audio = torch.from_numpy(trainer.crops[0]).float() / 32768
    assert trainer.front_end(audio).shape == (8, 1, 16, 96)


def test_training_brings_the_views_of_a_clip_together(packed: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = Trainer(tiny(), packed, tmp_path, CPU)
    trainer.fit(40, lambda _, values: losses.append(values["align_loss"]))
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


def test_networks_are_a_function_of_the_seed() -> None:
    first = build_objective(tiny()).state_dict()
    torch.manual_seed(99)
    again, other = build_objective(tiny()).state_dict(), build_objective(replace(tiny(), seed=1)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["predictor.0.weight"], other["predictor.0.weight"])


def test_unknown_names_and_options_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="objective 'byol' is unknown; known are selfie"):
        build_objective(replace(tiny(), objective="byol"))
    with pytest.raises(ConfigError, match=r"objective_options: unknown key 'tau'; known keys are .*decay"):
        build_objective(replace(tiny(), objective_options={"tau": 0.9}))
    model = replace(tiny().model, encoder=EncoderConfig(options={"width": 3}))
    with pytest.raises(ConfigError, match="unknown option width; options are channels, dropout, hidden"):
        build_objective(replace(tiny(), model=model))


def test_a_named_precision_is_taken_and_auto_is_resolved() -> None:
    assert [resolve_precision(name, CPU) for name in ("bf16", "fp32")] == ["bf16", "fp32"]
    assert resolve_precision("auto", CPU) in ("bf16", "fp32")


def test_a_step_in_bf16_keeps_the_losses_in_float32(packed: Path, tmp_path: Path) -> None:
    terms = Trainer(replace(tiny(), precision="bf16"), packed, tmp_path, CPU).train_step()
    assert all(terms[name].dtype == torch.float32 for name in ("loss", "align_loss", "decorrelation_loss"))
    assert torch.isfinite(terms["loss"])
