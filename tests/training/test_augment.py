"""The augmentations: what they draw, and what they do with what was drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from training.augment import Augmentation, BackgroundMix, Boxes, LinearFader, Mix, Ramp, RandomResizeCrop

MANY = torch.zeros(4000, 1, 2, 2)
EPS = 1e-5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mels(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def box(height: float = 1.0, width: float = 1.0, centre_y: float = 0.0, centre_x: float = 0.0, count: int = 1) -> Boxes:
    return Boxes(*(torch.full((count,), value) for value in (height, width, centre_y, centre_x)))


@pytest.mark.parametrize("augmentation", [RandomResizeCrop(), BackgroundMix(), LinearFader()])
def test_a_draw_depends_on_its_generator_alone(augmentation: RandomResizeCrop | BackgroundMix | LinearFader) -> None:
    mel = mels(16, 1, 4, 4)
    torch.manual_seed(0)
    first = augmentation.draw(mel, seeded(3))
    torch.manual_seed(1)
    again, other = augmentation.draw(mels(16, 1, 4, 4, seed=9), seeded(3)), augmentation.draw(mel, seeded(4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_boxes_have_an_area_and_an_aspect_within_range() -> None:
    boxes = RandomResizeCrop(scale=(0.6, 1.5), aspect=(0.75, 1.33)).draw(MANY, seeded())
    area, aspect = boxes.height * boxes.width, boxes.width / boxes.height
    assert 0.6 - EPS <= area.min() < 0.61
    assert 1.49 < area.max() <= 1.5 + EPS
    assert 0.75 - EPS <= aspect.min() < 0.76
    assert 1.32 < aspect.max() <= 1.33 + EPS


def test_high_boxes_are_as_likely_as_wide_ones() -> None:
    boxes = RandomResizeCrop(aspect=(0.5, 2.0)).draw(MANY, seeded())
    assert (boxes.width > boxes.height).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_boxes_lie_anywhere_within_the_canvas_or_at_its_centre_when_larger() -> None:
    canvas = (1.0, 1.3)
    boxes = RandomResizeCrop(canvas=canvas).draw(MANY, seeded())
    for size, centre, whole in (
        (boxes.height, boxes.centre_y, canvas[0]),
        (boxes.width, boxes.centre_x, canvas[1]),
    ):
        fits = size < whole
        assert fits.unique().tolist() == [False, True]
        assert (centre[~fits] == 0).all()
        assert ((centre.abs() + size / 2)[fits] <= whole / 2 + EPS).all()
        place = centre[fits] / ((whole - size[fits]) / 2)
        assert place.min() < -0.99
        assert place.max() > 0.99
        assert place.mean().abs() < 0.05


def test_a_box_that_is_the_input_returns_it() -> None:
    mel = mels(3, 1, 8, 12)
    torch.testing.assert_close(RandomResizeCrop().apply(mel, box(count=3)), mel, atol=1e-4, rtol=0)


def test_a_box_moved_by_whole_cells_moves_what_is_in_it_the_other_way() -> None:
    """A quarter of 12 frames later and a quarter of 8 bands higher: the spot comes 3 frames and 2 bands earlier."""
    mel = torch.zeros(1, 1, 8, 12)
    mel[0, 0, 5, 7] = 10.0
    out = RandomResizeCrop().apply(mel, box(centre_y=0.25, centre_x=0.25))
    assert out[0, 0, 3, 4].item() == pytest.approx(10.0, abs=1e-3)
    out[0, 0, 3, 4] = 0.0
    assert out.abs().max() < 0.15  # the level, 10 / 96, where the box has left the input; nothing else


def test_half_a_box_is_stretched_to_the_size_of_the_input() -> None:
    """Centred, cell t of 16 shows 4 + (t + 1/2) / 2 - 1/2; a quarter cell further, 4 + t / 2: whole and half cells,
    where bicubic interpolation keeps a straight line straight."""
    line, quarter = torch.arange(16.0), 1 / 64
    out = RandomResizeCrop().apply(line.expand(1, 1, 4, 16), box(width=0.5, centre_x=quarter))
    torch.testing.assert_close(out[0, 0, 1], 4 + line / 2, atol=1e-4, rtol=0)
    out = RandomResizeCrop().apply(line[:, None].expand(1, 1, 16, 4), box(height=0.5, centre_y=quarter + 2 / 16))
    torch.testing.assert_close(out[0, 0, :, 1], 6 + line / 2, atol=1e-4, rtol=0)


def test_outside_the_input_lies_the_mean_of_the_batch() -> None:
    mel = mels(2, 1, 4, 8) + 5.0
    out = RandomResizeCrop().apply(mel, box(centre_x=0.5, count=2))
    torch.testing.assert_close(out[..., :4], mel[..., 4:], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[..., 4:], mel.mean().expand(2, 1, 4, 4), atol=1e-4, rtol=0)


def test_a_crop_of_a_batch_is_the_crop_of_each() -> None:
    crop, mel = RandomResizeCrop(), mels(5, 1, 8, 12)
    mel = mel - mel.mean((1, 2, 3), keepdim=True)  # the level around the input is the batch's: make it the same for all
    boxes = crop.draw(mel, seeded())
    together = crop.apply(mel, boxes)
    for i in range(5):
        alone = crop.apply(mel[i : i + 1], Boxes(*(value[i : i + 1] for value in boxes)))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", range(2, 10))
def test_nobody_is_their_own_background_and_everybody_is_somebodys(count: int) -> None:
    for seed in range(20):
        other = BackgroundMix().draw(mels(count, 1, 2, 2), seeded(seed)).other
        assert sorted(other.tolist()) == list(range(count))
        assert all(o != i for i, o in enumerate(other.tolist()))


def test_shares_are_spread_over_their_range() -> None:
    share = BackgroundMix(share=0.2).draw(MANY, seeded()).share
    assert 0 <= share.min() < 0.001
    assert 0.199 < share.max() < 0.2
    assert share.mean().item() == pytest.approx(0.1, abs=0.005)


def test_background_is_mixed_in_linear_power() -> None:
    mel = mels(3, 1, 4, 5)
    other, share = torch.tensor([1, 2, 0]), torch.tensor([0.05, 0.1, 0.2])
    out = BackgroundMix().apply(mel, Mix(other, share))
    for i in range(3):
        expected = ((1 - share[i]) * mel[i].exp() + share[i] * mel[other[i]].exp()).log()
        torch.testing.assert_close(out[i], expected)


def test_a_share_of_nothing_changes_nothing() -> None:
    mel = mels(2, 1, 4, 5)
    torch.testing.assert_close(BackgroundMix().apply(mel, Mix(torch.tensor([1, 0]), torch.zeros(2))), mel)


def test_mixing_digital_silence_with_a_loud_clip_stays_finite() -> None:
    mel = torch.stack([torch.full((1, 2, 2), -200.0), torch.full((1, 2, 2), 200.0)])
    out = BackgroundMix().apply(mel, Mix(torch.tensor([1, 0]), torch.full((2,), 0.1)))
    expected = torch.tensor([200.0, 200.0]) + torch.tensor([0.1, 0.9]).log()  # the other is too quiet to count
    torch.testing.assert_close(out, expected[:, None, None, None].expand(2, 1, 2, 2))


def test_ramps_end_anywhere_within_the_gain() -> None:
    ramp = LinearFader(gain=2.0).draw(MANY, seeded())
    for end in ramp:
        assert -2.0 <= end.min() < -1.99
        assert 1.99 < end.max() <= 2.0
        assert end.mean().abs() < 0.1
    assert torch.corrcoef(torch.stack(ramp))[0, 1].abs() < 0.1


def test_fader_adds_a_line_over_time() -> None:
    mel = mels(2, 1, 3, 5)
    out = LinearFader().apply(mel, Ramp(torch.tensor([-1.0, 0.5]), torch.tensor([1.0, 0.5])))
    lines = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0], [0.5] * 5])
    torch.testing.assert_close(out - mel, lines[:, None, None, :].expand(2, 1, 3, 5))


def test_no_augmentation_changes_its_input() -> None:
    mel = mels(4, 1, 8, 12)
    before = mel.clone()
    augmentations: list[Any] = [RandomResizeCrop(), BackgroundMix(), LinearFader()]
    for augmentation in augmentations:
        out = augmentation.apply(mel, augmentation.draw(mel, seeded()))
        assert out.shape == mel.shape
        assert not torch.equal(out, mel)
        assert torch.equal(mel, before)


def test_a_view_is_finite_and_a_function_of_the_generator() -> None:
    augment, mel = Augmentation(), mels(4, 1, 16, 24)
    before = mel.clone()
    generator = seeded(1)
    first, second, again = augment(mel, generator), augment(mel, generator), augment(mel, seeded(1))
    assert first.shape == second.shape == mel.shape
    assert torch.isfinite(torch.stack([first, second])).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(mel, before)


def test_a_view_is_the_noise_then_the_crop_then_the_fader() -> None:
    augment, mel, generator = Augmentation(), mels(4, 1, 8, 12), seeded(2)
    steps: list[Any] = [augment.background, augment.crop, augment.fader]
    expected = mel
    for step in steps:
        expected = step.apply(expected, step.draw(expected, generator))
    assert torch.equal(augment(mel, seeded(2)), expected)
