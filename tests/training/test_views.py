"""Two views that are augmented in ways of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfie_hear.config import ConfigError
from selfie_hear.frontend import LogMel
from tests.training.augmenting import seeded
from training.config import TrainConfig, with_settings
from training.recipes import get_recipe
from training.views import TwoViews, margin_of

PLAIN = with_settings(
    get_recipe("tiny"), ["augment.crop_by=none", "augment.background_share=0.0", "augment.fader_gain=0.0"]
)


def crops_for(config: TrainConfig, crops: int = 1) -> Tensor:
    """Loud noise, int16 `(crops, 6, N)`, with what is read beside it."""
    samples = config.crop_samples + 2 * margin_of(config)
    return torch.randint(-20000, 20000, (crops, 6, samples), generator=seeded(0), dtype=torch.int16)


def views_of(config: TrainConfig, audio: Tensor) -> tuple[Tensor, Tensor]:
    return TwoViews(config, LogMel(config.model.front_end))(audio, seeded(1))


@pytest.mark.parametrize("crops", [1, 2])
def test_the_second_view_alone_has_what_is_set_for_it(crops: int) -> None:
    config = with_settings(PLAIN, ["second_view.flip_probability=1.0"])
    audio = crops_for(config, crops)
    first, second = views_of(config, audio)
    sound = audio.float() / 32768.0
    front_end = LogMel(config.model.front_end)
    assert torch.equal(first, front_end(sound[0]))
    assert torch.equal(second, front_end(sound[-1].flip(1)))


def test_the_second_view_alone_may_lack_something() -> None:
    config = with_settings(PLAIN, ["augment.flip_probability=1.0", "second_view.flip_probability=0.0"])
    audio = crops_for(config)
    first, second = views_of(config, audio)
    front_end = LogMel(config.model.front_end)
    assert torch.equal(first, front_end(audio[0].flip(1).float() / 32768.0))
    assert torch.equal(second, front_end(audio[0].float() / 32768.0))


@pytest.mark.parametrize("stretched", ["augment", "second_view"])
def test_what_is_read_to_stretch_one_view_is_not_heard_in_the_other(stretched: str) -> None:
    other = "second_view.stretch_probability=0.0"
    settings = [f"{stretched}.stretch_probability=1.0", f"{stretched}.stretch=0.25"]
    config = with_settings(PLAIN, [*settings, other] if stretched == "augment" else settings)
    assert margin_of(config) == margin_of(
        with_settings(PLAIN, ["augment.stretch_probability=1", "augment.stretch=0.25"])
    )
    more = margin_of(config) - margin_of(PLAIN)
    assert more > 0
    audio = crops_for(config)
    views = views_of(config, audio)
    plain = LogMel(config.model.front_end)(audio[0, :, more:-more].float() / 32768.0)
    assert views[0].shape == views[1].shape == plain.shape
    same = [torch.equal(view, plain) for view in views]
    assert same == [stretched == "second_view", stretched == "augment"]


def test_both_are_augmented_alike_unless_something_is_set() -> None:
    assert PLAIN.augment_second == PLAIN.augment
    changed = with_settings(PLAIN, ["augment.time_masks=2", "second_view.frequency_masks=1"])
    assert (changed.augment.time_masks, changed.augment.frequency_masks) == (2, 0)
    assert (changed.augment_second.time_masks, changed.augment_second.frequency_masks) == (2, 1)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("second_view.flip=1", "second_view: unknown key 'flip'; known keys are .*flip_probability"),
        ("second_view.flip_probability=2", r"augment.flip_probability: must be in \[0, 1\], got 2"),
        ("second_view.flip_probability=often", "second_view.flip_probability: expected float, got 'often'"),
    ],
)
def test_mistakes_are_explained(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        with_settings(PLAIN, [setting])


def test_in_cola_a_crop_with_noise_looks_for_one_without_that_is_augmented() -> None:
    """Emami et al., section 2.1."""
    noise = {name: get_recipe(name).augment.noise_probability for name in ("cola", "cola_all")}
    assert noise == {"cola": 1.0, "cola_all": 1.0}
    anchor, found = get_recipe("cola_all").augment, get_recipe("cola_all").augment_second
    assert (anchor.stretch_probability, anchor.room_probability, anchor.time_masks) == (0.0, 0.0, 0)
    assert (found.stretch_probability, found.room_probability, found.time_masks) == (0.5, 1.0, 1)
    assert found.noise_probability == 0.0
