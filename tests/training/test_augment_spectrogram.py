"""Augmentations of log-mel beyond SELFIE's three: the independent crop, masks and post-normalisation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.training.augmenting import in_threads, is_seeded, normal, seeded
from training.augment import Augmentation, AugmentConfig, IndependentResizeCrop, RandomResizeCrop, build_augmentation
from training.augment.masks import FREQUENCY, TIME, SpectrogramMasks, Stripes
from training.augment.post_norm import post_normalise
from training.ranks import Ranks

MANY = 4000
EVERYTHING = AugmentConfig(
    crop_by="sides", time_masks=2, time_mask_frames=5, frequency_masks=1, frequency_mask_bands=3, post_norm=True
)


@pytest.mark.parametrize("augmentation", [IndependentResizeCrop(), SpectrogramMasks(TIME, 3, 10)])
def test_a_draw_depends_on_its_generator_alone(augmentation: IndependentResizeCrop | SpectrogramMasks) -> None:
    assert is_seeded(augmentation)


# The crop.


def test_sides_are_drawn_each_from_its_own_range_and_cut_to_the_canvas() -> None:
    boxes = IndependentResizeCrop((0.5, 0.9), (0.8, 1.8), canvas=(1.0, 1.5)).draw(MANY, seeded())
    assert 0.5 <= boxes.height.min() < 0.505 and 0.895 < boxes.height.max() <= 0.9
    assert 0.8 <= boxes.width.min() < 0.805 and boxes.width.max() == 1.5
    assert (boxes.width == 1.5).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.corrcoef(torch.stack([boxes.height, boxes.width]))[0, 1].abs() < 0.05


def test_no_box_leaves_a_canvas_that_is_as_high_as_the_input() -> None:
    boxes = IndependentResizeCrop().draw(MANY, seeded())
    assert (boxes.centre_y.abs() + boxes.height / 2).max() <= 0.5 + 1e-6
    assert (boxes.centre_x.abs() + boxes.width / 2).max() <= 0.75 + 1e-6
    assert boxes.height.max() == 1.0


def test_the_independent_crop_cuts_as_the_other_does() -> None:
    mel, level = normal(5, 1, 8, 12), torch.tensor(0.5)
    boxes = IndependentResizeCrop().draw(5, seeded())
    assert torch.equal(IndependentResizeCrop().apply(mel, boxes, level), RandomResizeCrop().apply(mel, boxes, level))


# Masks.


def masked_one_by_one(mel: Tensor, stripes: Stripes, level: float, dimension: int, widest: int) -> Tensor:
    """Row by row and stripe by stripe."""
    out = mel.clone()
    for row in range(len(mel)):
        for width, place in zip(stripes.width[row].tolist(), stripes.place[row].tolist(), strict=True):
            cells = mel.shape[dimension]
            size = int(width * (min(widest, cells) + 1))
            start = int(place * (cells - size + 1))
            out[row].narrow(dimension - 1, start, size).fill_(level)
    return out


@pytest.mark.parametrize("dimension", [FREQUENCY, TIME])
@pytest.mark.parametrize("widest", [1, 4, 40])
@pytest.mark.parametrize("shape", [(6, 1, 8, 12), (1, 1, 3, 1)])
def test_masks_are_what_they_are_one_by_one(dimension: int, widest: int, shape: tuple[int, ...]) -> None:
    mel, masks = normal(*shape), SpectrogramMasks(dimension, 3, widest)
    stripes = masks.draw(len(mel), seeded(1))
    out = masks.apply(mel, stripes, torch.tensor(7.0))
    assert torch.equal(out, masked_one_by_one(mel, stripes, 7.0, dimension, widest))
    assert not torch.equal(out, mel)


def test_a_mask_hides_the_stripe_that_was_drawn_and_nothing_else() -> None:
    """4 of at most 7 frames, in the last of 5 places: frames 4 to 7. No band of at most 2, so none."""
    mel = normal(2, 1, 3, 8)
    stripes = Stripes(torch.tensor([[4.5 / 8], [0.0]]), torch.tensor([[0.9], [0.9]]))
    out = SpectrogramMasks(TIME, 1, 7).apply(mel, stripes, torch.tensor(-1.0))
    assert torch.equal(out[0, :, :, :4], mel[0, :, :, :4]) and (out[0, :, :, 4:] == -1.0).all()
    assert torch.equal(out[1], mel[1])


def test_every_width_is_equally_likely_and_every_place() -> None:
    mel = torch.zeros(MANY, 1, 1, 8)
    masks = SpectrogramMasks(TIME, 1, 3)
    hidden = masks.apply(mel, masks.draw(MANY, seeded()), torch.tensor(1.0))[:, 0, 0]
    width = hidden.sum(1)
    assert torch.bincount(width.int()).tolist() == pytest.approx([MANY / 4] * 4, rel=0.1)
    start = hidden[width == 3].argmax(1)
    assert torch.bincount(start).tolist() == pytest.approx([MANY / 24] * 6, rel=0.25)


# Post-normalisation.


def test_the_batch_gets_its_mean_and_deviation_back() -> None:
    before = normal(4, 1, 8, 12) * 3 - 7
    mel = before.square() - 2 * before
    out = post_normalise(mel, before)
    torch.testing.assert_close(out.mean(), before.mean(), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(), before.std(), atol=1e-4, rtol=0)
    flat, expected = out.flatten(), mel.flatten()
    assert torch.corrcoef(torch.stack([flat, expected]))[0, 1].item() == pytest.approx(1.0, abs=1e-6)


def test_with_a_standardised_input_it_is_that_of_byol_a() -> None:
    before = normal(4, 1, 8, 12)
    before = (before - before.mean()) / before.std(correction=0)
    mel = normal(4, 1, 8, 12, seed=1) * 2 + 1
    expected = (mel - mel.mean()) / mel.std(correction=0)
    torch.testing.assert_close(post_normalise(mel, before), expected, atol=1e-5, rtol=0)


def test_what_was_not_augmented_stays_as_it_is() -> None:
    mel = normal(4, 1, 8, 12) * 3 - 7
    torch.testing.assert_close(post_normalise(mel, mel), mel, atol=1e-5, rtol=0)


def test_a_batch_without_any_deviation_gets_the_former_mean() -> None:
    before = normal(2, 1, 4, 4) + 3.0
    torch.testing.assert_close(post_normalise(torch.full_like(before, -16.0), before), before.mean().expand(2, 1, 4, 4))


# The view.


def test_masks_come_after_the_fader_at_the_level_of_the_batch_and_post_norm_last() -> None:
    mel, generator = normal(4, 1, 8, 12) - 3.0, seeded(2)
    first = replace(EVERYTHING, time_masks=0, frequency_masks=0, post_norm=False)
    expected = build_augmentation(first)(mel, generator)
    level = expected.mean()
    for masks in (SpectrogramMasks(TIME, 2, 5), SpectrogramMasks(FREQUENCY, 1, 3)):
        expected = masks.apply(expected, masks.draw(4, generator), level)
    expected = post_normalise(expected, mel)
    assert torch.equal(build_augmentation(EVERYTHING)(mel, seeded(2)), expected)


def test_masks_that_are_off_are_not_there() -> None:
    assert build_augmentation(AugmentConfig(time_masks=2)).masks == (SpectrogramMasks(TIME, 2, 12),)
    assert build_augmentation(AugmentConfig(frequency_masks=1)).masks == (SpectrogramMasks(FREQUENCY, 1, 16),)
    assert build_augmentation(AugmentConfig(crop_by="none")) == Augmentation(crop=None)


def test_silence_and_a_single_frame_stay_finite() -> None:
    augment = build_augmentation(EVERYTHING)
    for mel in (torch.full((2, 1, 8, 12), -16.1), normal(2, 1, 4, 1), normal(1, 1, 8, 12)):
        assert torch.isfinite(augment(mel, seeded())).all()


@pytest.mark.parametrize("count", [2, 3])
def test_the_views_of_several_processes_are_parts_of_the_view_of_one(count: int) -> None:
    mel = normal(6, 1, 16, 24) + 2.0 * torch.arange(6.0)[:, None, None, None]  # halves of another level
    augment, generator = build_augmentation(EVERYTHING), seeded(5)
    whole = [augment(mel, generator) for _ in range(2)]

    def views(ranks: Ranks) -> list[Tensor]:
        own = seeded(5)
        return [augment(mel[ranks.share(6)], own, ranks) for _ in range(2)]

    for together, view in zip(in_threads(count, views), whole, strict=True):
        torch.testing.assert_close(together, view, atol=2e-5, rtol=0)
