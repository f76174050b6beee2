"""What configurations of augmentations are refused, and which steps they turn on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from selfie_hear.config import ConfigError, from_dict, to_dict
from tests.training.runs import tiny
from training.augment import (
    Augmentation,
    AugmentConfig,
    IndependentResizeCrop,
    RandomResizeCrop,
    build_augmentation,
    build_waveform_augmentation,
    samples_beside,
)
from training.augment.fade import Fade
from training.augment.flip import Flip
from training.augment.noise import AdditiveNoise
from training.augment.padding import RandomPadding
from training.augment.pitch_shift import PitchShift
from training.augment.room import RoomResponse
from training.augment.time_stretch import TimeStretch
from training.config import with_settings

# Every step, with values of its own, and what turns it on.
STEPS: list[tuple[dict[str, Any], Any]] = [
    ({"stretch_probability": 0.5, "stretch": 0.2}, TimeStretch(8000, 1024, 0.5, 0.2)),
    ({"pitch_probability": 0.3, "pitch_semitones": 3.0}, PitchShift(1024, 0.3, 3.0)),
    ({"flip_probability": 0.4}, Flip(0.4)),
    (
        {"room_probability": 0.6, "room_rt60": (0.1, 0.3), "room_direct_ratio": (-3.0, 9.0)},
        RoomResponse(16000, 0.6, (0.1, 0.3), (-3.0, 9.0)),
    ),
    (
        {"noise_probability": 0.7, "noise_snr": (0.0, 20.0), "noise_slope": (-6.0, 0.0)},
        AdditiveNoise(16000, 8000, 0.7, (0.0, 20.0), (-6.0, 0.0)),
    ),
    ({"fade_probability": 0.8, "fade_share": 0.25}, Fade(0.8, 0.25)),
    ({"padding_seconds": 0.1}, RandomPadding(1600)),
]


def test_by_default_there_are_selfies_three_alone() -> None:
    assert build_augmentation(AugmentConfig()) == Augmentation()
    assert build_waveform_augmentation(AugmentConfig(), 16000, 8000).steps == ()
    assert samples_beside(AugmentConfig(), 8000) == 0


@pytest.mark.parametrize(("values", "step"), STEPS)
def test_each_step_is_turned_on_by_its_own_keys(values: dict[str, Any], step: Any) -> None:
    config = AugmentConfig(**values)
    assert build_waveform_augmentation(config, 16000, 8000).steps == (step,)
    for name, value in values.items():  # without its probability, its strength: off
        if isinstance(value, float):
            assert build_waveform_augmentation(replace(config, **{name: 0.0}), 16000, 8000).steps == ()


def test_all_steps_come_in_the_order_of_the_sounds_way() -> None:
    everything = AugmentConfig(**{key: value for values, _ in STEPS for key, value in values.items()})
    steps = build_waveform_augmentation(everything, 16000, 8000).steps
    assert list(steps) == [step for _, step in STEPS]


def test_only_stretch_needs_samples_beside_the_crop() -> None:
    for values, _ in STEPS:
        expected = 800 if "stretch" in values else 0
        assert samples_beside(AugmentConfig(**values), 8000) == expected
    assert samples_beside(AugmentConfig(stretch=0.2), 8000) == 0


def test_a_crop_is_by_area_by_its_sides_or_none() -> None:
    ranges = {"crop_scale": (0.7, 0.9), "crop_aspect": (0.8, 1.2), "crop_height": (0.6, 0.7), "crop_width": (0.5, 1.2)}
    config = AugmentConfig(**ranges, crop_canvas=(1.0, 1.3))
    assert build_augmentation(config).crop == RandomResizeCrop((0.7, 0.9), (0.8, 1.2), (1.0, 1.3))
    by_sides = build_augmentation(replace(config, crop_by="sides")).crop
    assert by_sides == IndependentResizeCrop((0.6, 0.7), (0.5, 1.2), (1.0, 1.3))
    assert build_augmentation(replace(config, crop_by="none")).crop is None


def test_what_was_stored_before_there_were_more_keys_is_what_it_was() -> None:
    stored = {"crop_scale": [0.5, 1.5], "crop_aspect": [0.75, 1.33], "crop_canvas": [1.0, 1.5], "fader_gain": 2.0}
    config = from_dict(AugmentConfig, stored)
    assert config == AugmentConfig(crop_scale=(0.5, 1.5), fader_gain=2.0)
    assert from_dict(AugmentConfig, to_dict(config)) == config


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("crop_by=corner", "crop_by: must be one of area, sides, none, got corner"),
        ("crop_height=(0.0,1.0)", "crop_height: expected 0 < low <= high, got 0.0, 1.0"),
        ("crop_width=(1.5,0.6)", "crop_width: expected 0 < low <= high, got 1.5, 0.6"),
        ("room_rt60=(0.5,1e999)", "room_rt60: expected 0 < low <= high, got 0.5, inf"),
        ("room_direct_ratio=(3.0,-3.0)", "room_direct_ratio: expected low <= high, got 3.0, -3.0"),
        ("noise_snr=(0.0,1e999)", "noise_snr: expected low <= high, got 0.0, inf"),
        ("noise_slope=(0.0,-6.0)", "noise_slope: expected low <= high, got 0.0, -6.0"),
        ("stretch=1.0", r"stretch: must be in \[0, 1\), got 1.0"),
        ("stretch=-0.1", r"stretch: must be in \[0, 1\), got -0.1"),
        ("pitch_semitones=25", r"pitch_semitones: must be in \[0, 24\], got 25.0"),
        ("fade_share=0.6", r"fade_share: must be in \[0, 0.5\], got 0.6"),
        ("padding_seconds=-1", "padding_seconds: must be at least 0 s, got -1.0"),
        ("time_masks=-1", "time_masks: must be at least 0, got -1"),
        ("frequency_masks=-1", "frequency_masks: must be at least 0, got -1"),
        ("time_mask_frames=0", "time_mask_frames: must be at least 1, got 0"),
        ("frequency_mask_bands=0", "frequency_mask_bands: must be at least 1, got 0"),
        ("post_norm=1", "post_norm: expected bool, got 1"),
    ],
)
def test_a_value_without_sense_is_refused_with_what_is_accepted(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"augment.{complaint}"):
        with_settings(tiny(), [f"augment.{setting}"])


@pytest.mark.parametrize("name", ["stretch", "pitch", "flip", "room", "noise", "fade"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_is_between_0_and_1(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"augment.{name}_probability: must be in \[0, 1\], got {value}"):
        AugmentConfig(**{f"{name}_probability": value})
