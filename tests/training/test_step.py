"""A step of training: the views that it makes, the networks that it moves, and its random numbers."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.processes import CPU
from tests.training.runs import SELDOM, batch_of, ignore, tiny
from training.augment import Augmentation
from training.config import TrainConfig
from training.corpus.crops import SamplingConfig
from training.loop import Trainer
from training.objectives import Views

pytestmark = pytest.mark.usefixtures("few_curves")


def test_a_crop_gives_the_number_of_centred_frames(packed: Path, tmp_path: Path) -> None:
    """0.95 s every 10 ms: 96 frames, the outer ones centred on the ends of the crop."""
    trainer = Trainer(tiny(), packed, tmp_path, CPU)
    assert trainer.views.front_end(batch_of(trainer).audio[0].float() / 32768).shape == (8, 1, 16, 96)


def views_of(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The log-mel batches of one step, before they are augmented."""
    seen: list[Tensor] = []
    augment = Augmentation.__call__

    def watch(self: Any, mel: Tensor, *rest: Any) -> Tensor:
        seen.append(mel.clone())
        return augment(self, mel, *rest)

    monkeypatch.setattr(Augmentation, "__call__", watch)
    trainer.train_step(batch_of(trainer))
    return seen


@pytest.mark.parametrize("crops", [1, 2])
def test_views_are_made_of_as_many_crops_as_the_sampling_says(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    config = replace(tiny(), sampling=SamplingConfig(crops_per_clip=crops))
    trainer = Trainer(config, packed, tmp_path, CPU)
    audio = batch_of(trainer).audio.float() / 32768
    first, second = views_of(trainer, monkeypatch)
    torch.testing.assert_close(first, trainer.views.front_end(audio[0]))
    torch.testing.assert_close(second, trainer.views.front_end(audio[crops - 1]))
    assert torch.equal(first, second) == (crops == 1)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_step_moves_the_online_network_and_then_the_target_after_it_once(
    packed: Path, tmp_path: Path, parts: int
) -> None:
    trainer = Trainer(replace(tiny(), accumulate=parts), packed, tmp_path, CPU)
    before = {name: value.clone() for name, value in trainer.objective.state_dict().items()}
    trainer.train_step(batch_of(trainer))
    after = trainer.objective.state_dict()
    for name in ("encoder.fc1.weight", "encoder.norm0.running_mean", "projector.0.weight"):
        assert not torch.equal(after[f"online.{name}"], before[f"online.{name}"])
        expected = 0.9 * before[f"target.{name}"] + 0.1 * after[f"online.{name}"]
        torch.testing.assert_close(after[f"target.{name}"], expected)
    assert {value["step"].item() for value in trainer.optimiser.state.values()} == {1}
    assert after["online.encoder.norm0.num_batches_tracked"] == 2 * parts  # both views of each part


def test_accumulation_averages_the_losses_and_gradients_of_consecutive_parts(packed: Path, tmp_path: Path) -> None:
    """Against a slow second implementation. Without dropout, whose masks are drawn one after the other."""
    model = replace(
        tiny().model,
        encoder=replace(tiny().model.encoder, options={"channels": 4, "dropout": 0.0}),
    )
    trainer = Trainer(replace(tiny(), model=model, batch=12, accumulate=3), packed, tmp_path, CPU)
    seen: list[Views] = []
    twin = copy.deepcopy(trainer.objective)
    trainer.objective.register_forward_pre_hook(lambda _module, views: seen.append(*views))
    batch = batch_of(trainer)
    terms = trainer.train_step(batch)
    assert [tuple(views.first.shape) for views in seen] == [(4, 1, 16, 96)] * 3
    assert torch.equal(torch.cat([views.clips for views in seen]), batch.clips)

    parts = [twin(views) for views in seen]
    sum(part["loss"] for part in parts).backward()
    for name in ("loss", "align_loss", "diversity_loss", "decorrelation_loss"):
        values = [part[name].item() for part in parts]
        assert len(set(values)) == 3
        assert terms[name].item() == pytest.approx(sum(values) / 3, rel=1e-6)
        assert not terms[name].requires_grad
    largest = 0.0
    for (name, mine), theirs in zip(trainer.objective.named_parameters(), twin.parameters(), strict=True):
        if mine.requires_grad:
            assert mine.grad is not None and theirs.grad is not None
            torch.testing.assert_close(mine.grad, theirs.grad / 3, rtol=1e-3, atol=1e-5, msg=name)
            largest = max(largest, mine.grad.abs().max().item())
    assert largest > 1e-3


def test_dropout_and_views_come_from_the_seed_and_the_number_of_the_step(packed: Path, tmp_path: Path) -> None:
    """The same networks and the same batch, each time."""
    model = Trainer(tiny(), packed, tmp_path / "model", CPU).objective.state_dict()
    batch = batch_of(Trainer(tiny(), packed, tmp_path / "data", CPU))

    def loss(name: str, config: TrainConfig, step: int, before: int) -> float:
        trainer = Trainer(config, packed, tmp_path / name, CPU)
        trainer.objective.load_state_dict(model)
        trainer.step = step
        torch.manual_seed(before)
        return float(trainer.train_step(batch)["loss"])

    first = loss("first", tiny(), step=0, before=1)
    assert loss("again", tiny(), step=0, before=2) == first
    assert loss("later", tiny(), step=1, before=1) != first
    assert loss("other", replace(tiny(), seed=1), step=0, before=1) != first


def test_bf16_keeps_losses_and_weights_in_float32(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(SELDOM, precision="bf16"), packed, tmp_path, CPU)
    terms = trainer.train_step(batch_of(trainer))
    assert all(terms[name].dtype == torch.float32 for name in ("loss", "align_loss", "decorrelation_loss"))
    assert {p.dtype for p in trainer.objective.parameters()} == {torch.float32}
    exact = Trainer(SELDOM, packed, tmp_path / "exact", CPU)
    loss = exact.train_step(batch_of(exact))["loss"]
    assert not torch.equal(terms["loss"], loss)  # it was half precision, but not far off
    torch.testing.assert_close(terms["loss"], loss, rtol=0, atol=0.1)
    trainer.fit(3, ignore)
    assert json.loads((tmp_path / "config.json").read_text())["precision"] == "bf16"
