"""Augmentations of waveforms in the loop: what is read for them, the views that they make, and several processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.augmenting import in_threads, normal, seeded
from tests.training.processes import CPU, in_ranks
from tests.training.runs import tiny
from training.augment import AugmentConfig, build_waveform_augmentation, samples_beside
from training.config import TrainConfig, with_settings
from training.corpus.crops import SamplingConfig
from training.loop import Trainer
from training.ranks import Ranks, joined_ranks

EVERYTHING = AugmentConfig(
    crop_by="sides",
    time_masks=1,
    frequency_masks=1,
    post_norm=True,
    stretch_probability=0.5,
    stretch=0.25,
    pitch_probability=0.5,
    flip_probability=0.5,
    room_probability=0.5,
    room_rt60=(0.05, 0.1),
    noise_probability=0.5,
    noise_slope=(-6.0, 0.0),
    fade_probability=0.5,
    padding_seconds=0.1,
)
NOTHING = AugmentConfig(crop_by="none", background_share=0.0, fader_gain=0.0)
SAMPLES = 8 * 160 + 1024  # of the shortest crop
BESIDE = samples_beside(EVERYTHING, SAMPLES)


def trainer_of(config: TrainConfig, data: Path, run: Path) -> Trainer:
    return Trainer(config, data, run, CPU)


def views_of(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """What the objective sees in a step."""
    seen: list[Any] = []
    forward = type(trainer.objective).forward

    def watch(self: Any, views: Any) -> Any:
        seen.append(views)
        return forward(self, views)

    monkeypatch.setattr(type(trainer.objective), "forward", watch)
    trainer.train_step(trainer.crops.read(trainer.step, trainer.rows))
    monkeypatch.undo()
    return seen[0].first, seen[0].second


# Without the loop.


def test_a_view_is_finite_of_the_crops_length_and_a_function_of_the_generator() -> None:
    augment, audio = build_waveform_augmentation(EVERYTHING, 16000, SAMPLES), normal(8, SAMPLES + 2 * BESIDE)
    before, generator = audio.clone(), seeded(1)
    first, second, again = augment(audio, generator), augment(audio, generator), augment(audio, seeded(1))
    assert first.shape == (8, SAMPLES)
    assert torch.isfinite(torch.stack([first, second])).all()
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert torch.equal(audio, before)


@pytest.mark.parametrize("rows", [1, 2])
def test_silence_stays_silent(rows: int) -> None:
    augment = build_waveform_augmentation(EVERYTHING, 16000, SAMPLES)
    assert (augment(torch.zeros(rows, SAMPLES + 2 * BESIDE), seeded()) == 0).all()


@pytest.mark.parametrize("count", [2, 3])
def test_the_views_of_several_processes_are_parts_of_the_view_of_one(count: int) -> None:
    audio = normal(6, SAMPLES + 2 * BESIDE)
    augment, generator = build_waveform_augmentation(EVERYTHING, 16000, SAMPLES), seeded(5)
    whole = [augment(audio, generator) for _ in range(2)]

    def views(ranks: Ranks) -> list[Tensor]:
        own = seeded(5)
        return [augment(audio[ranks.share(6)], own, ranks) for _ in range(2)]

    for together, view in zip(in_threads(count, views), whole, strict=True):
        torch.testing.assert_close(together, view, atol=1e-5, rtol=0)


# In the loop.


def test_more_is_read_only_for_a_stretch_and_the_crops_stay_where_they_are(packed: Path, tmp_path: Path) -> None:
    plain = trainer_of(tiny(), packed, tmp_path / "plain").crops
    others = replace(EVERYTHING, stretch_probability=0.0)
    same = trainer_of(replace(tiny(), augment=others), packed, tmp_path / "others").crops
    wide = trainer_of(replace(tiny(), augment=EVERYTHING), packed, tmp_path / "wide").crops
    assert same.margin == plain.margin == 512
    whole = wide.crop + 2 * wide.margin
    assert (plain.crop + 1024) * 1.25 <= whole < (plain.crop + 1024) * 1.25 + 2
    assert wide.crops_per_epoch == plain.crops_per_epoch
    more = wide.margin - plain.margin
    for step in range(3):
        rows = range(8)
        found, expected = wide.read(step, list(rows)), plain.read(step, list(rows))
        assert torch.equal(found.audio[:, :, more:-more], expected.audio)
        assert torch.equal(found.clips, expected.clips)


@pytest.mark.parametrize("crops", [1, 2])
def test_each_view_is_of_a_sound_of_its_own(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    """Played backwards or not, and nothing else: of the same crop or of two."""
    augment = replace(NOTHING, flip_probability=0.5)
    trainer = trainer_of(
        replace(tiny(), augment=augment, sampling=SamplingConfig(crops_per_clip=crops)), packed, tmp_path
    )
    audio = trainer.crops.read(0, trainer.rows).audio.float() / 32768
    choices = []
    for view, sound in zip(views_of(trainer, monkeypatch), (audio[0], audio[-1]), strict=True):
        forwards, backwards = trainer.views.front_end(sound), trainer.views.front_end(sound.flip(1))
        same = [torch.equal(view[row], forwards[row]) for row in range(8)]
        assert all(torch.equal(view[row], backwards[row]) for row in range(8) if not same[row])
        choices.append(same)
    assert choices[0] != choices[1]
    assert {True, False} == set(choices[0] + choices[1])


def test_with_everything_on_views_have_the_frames_of_the_crop(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(replace(tiny(), augment=EVERYTHING), packed, tmp_path)
    first, second = views_of(trainer, monkeypatch)
    assert first.shape == second.shape == (8, 1, 16, 96)
    assert torch.isfinite(first).all() and torch.isfinite(second).all()
    assert not torch.equal(first, second)


def test_a_row_that_is_not_stretched_is_the_crop_without_stretch(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trainer_of(replace(tiny(), augment=NOTHING), packed, tmp_path / "plain")
    wide = trainer_of(replace(tiny(), augment=replace(NOTHING, stretch_probability=0.5)), packed, tmp_path / "wide")
    expected, _ = views_of(plain, monkeypatch)
    same = [torch.equal(view[row], expected[row]) for view in views_of(wide, monkeypatch) for row in range(8)]
    assert 2 <= sum(same) <= 14


def first_terms(data: Path, folder: Path) -> dict[str, Tensor]:
    """The terms of a step with everything on."""
    config = replace(with_settings(tiny(), ["model.encoder.options.dropout=0.0", "accumulate=2"]), augment=EVERYTHING)
    with joined_ranks(CPU) as ranks:
        trainer = Trainer(config, data, folder, CPU, ranks)
        terms = trainer.train_step(trainer.crops.read(0, trainer.rows))
        terms["embedding"] = ranks.gather(terms["embedding"])
        del trainer
        return {name: value.clone() for name, value in terms.items()}


def test_two_processes_see_the_views_of_one(packed: Path, tmp_path: Path) -> None:
    (whole,) = in_ranks(1, first_terms, packed, tmp_path / "one")
    for half in in_ranks(2, first_terms, packed, tmp_path / "two"):
        assert half.keys() == whole.keys() >= {"loss", "embedding"}
        for name, value in whole.items():
            torch.testing.assert_close(half[name], value, atol=1e-4, rtol=1e-4, msg=name)
