"""SELFIE's three augmentations: what they draw, what they do with what was drawn, and the view that they make."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.augmenting import in_threads, is_seeded, normal, seeded
from training.augment import (
    Augmentation,
    AugmentConfig,
    BackgroundMix,
    Boxes,
    LinearFader,
    Mix,
    Ramp,
    RandomResizeCrop,
    build_augmentation,
    take,
)
from training.ranks import Ranks

MANY = 4000
NOTHING = torch.tensor(0.0)
EPS = 1e-5


def box(height: float = 1.0, width: float = 1.0, centre_y: float = 0.0, centre_x: float = 0.0, count: int = 1) -> Boxes:
    return Boxes(*(torch.full((count,), value) for value in (height, width, centre_y, centre_x)))


@pytest.mark.parametrize("augmentation", [RandomResizeCrop(), BackgroundMix(), LinearFader()])
def test_a_draw_depends_on_its_generator_alone(augmentation: RandomResizeCrop | BackgroundMix | LinearFader) -> None:
    assert is_seeded(augmentation)


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
    mel = normal(3, 1, 8, 12)
    for level in (NOTHING, mel.mean(), torch.tensor(-9.0)):
        torch.testing.assert_close(RandomResizeCrop().apply(mel, box(count=3), level), mel, atol=1e-4, rtol=0)


def test_a_box_moved_by_whole_cells_moves_what_is_in_it_the_other_way() -> None:
    """A quarter of 12 frames later and a quarter of 8 bands higher: the spot comes 3 frames and 2 bands earlier."""
    mel = torch.zeros(1, 1, 8, 12)
    mel[0, 0, 5, 7] = 10.0
    out = RandomResizeCrop().apply(mel, box(centre_y=0.25, centre_x=0.25), mel.mean())
    assert out[0, 0, 3, 4].item() == pytest.approx(10.0, abs=1e-3)
    out[0, 0, 3, 4] = 0.0
    assert out.abs().max() < 0.15  # the level, 10 / 96, where the box has left the input; nothing else


def test_half_a_box_is_stretched_to_the_size_of_the_input() -> None:
    """Centred, cell t of 16 shows 4 + (t + 1/2) / 2 - 1/2; a quarter cell further, 4 + t / 2: whole and half cells,
    where bicubic interpolation keeps a straight line straight."""
    line, quarter = torch.arange(16.0), 1 / 64
    out = RandomResizeCrop().apply(line.expand(1, 1, 4, 16), box(width=0.5, centre_x=quarter), NOTHING)
    torch.testing.assert_close(out[0, 0, 1], 4 + line / 2, atol=1e-4, rtol=0)
    boxes = box(height=0.5, centre_y=quarter + 2 / 16)
    out = RandomResizeCrop().apply(line[:, None].expand(1, 1, 16, 4), boxes, NOTHING)
    torch.testing.assert_close(out[0, 0, :, 1], 6 + line / 2, atol=1e-4, rtol=0)


def test_outside_the_input_lies_the_level() -> None:
    mel, level = normal(2, 1, 4, 8) + 5.0, torch.tensor(3.25)
    out = RandomResizeCrop().apply(mel, box(centre_x=0.5, count=2), level)
    torch.testing.assert_close(out[..., :4], mel[..., 4:], atol=1e-4, rtol=0)
    torch.testing.assert_close(out[..., 4:], level.expand(2, 1, 4, 4), atol=1e-4, rtol=0)


def test_a_crop_of_a_batch_is_the_crop_of_each() -> None:
    crop, mel, level = RandomResizeCrop(), normal(5, 1, 8, 12), torch.tensor(0.5)
    boxes = crop.draw(5, seeded())
    together = crop.apply(mel, boxes, level)
    for i in range(5):
        alone = crop.apply(mel[i : i + 1], take(boxes, slice(i, i + 1)), level)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


def test_the_parameters_of_some_rows_are_theirs() -> None:
    mix = take(Mix(torch.tensor([3, 2, 1, 0]), torch.tensor([0.0, 0.1, 0.2, 0.3])), slice(1, 3))
    assert isinstance(mix, Mix)
    assert mix.other.tolist() == [2, 1]
    assert torch.equal(mix.share, torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize("count", range(2, 10))
def test_nobody_is_their_own_background_and_everybody_is_somebodys(count: int) -> None:
    for seed in range(20):
        other = BackgroundMix().draw(count, seeded(seed)).other
        assert sorted(other.tolist()) == list(range(count))
        assert all(o != i for i, o in enumerate(other.tolist()))


def test_shares_are_spread_over_their_range() -> None:
    share = BackgroundMix(share=0.2).draw(MANY, seeded()).share
    assert 0 <= share.min() < 0.001
    assert 0.199 < share.max() < 0.2
    assert share.mean().item() == pytest.approx(0.1, abs=0.005)


def test_background_is_mixed_in_linear_power() -> None:
    mel = normal(3, 1, 4, 5)
    other, share = torch.tensor([1, 2, 0]), torch.tensor([0.05, 0.1, 0.2])
    out = BackgroundMix().apply(mel, Mix(other, share), mel)
    for i in range(3):
        expected = ((1 - share[i]) * mel[i].exp() + share[i] * mel[other[i]].exp()).log()
        torch.testing.assert_close(out[i], expected)


def test_backgrounds_come_from_the_batch_of_all_processes() -> None:
    mel, everyone = normal(2, 1, 4, 5), normal(6, 1, 4, 5, seed=1)
    out = BackgroundMix().apply(mel, Mix(torch.tensor([5, 0]), torch.tensor([0.1, 0.2])), everyone)
    torch.testing.assert_close(out[0], (0.9 * mel[0].exp() + 0.1 * everyone[5].exp()).log())
    torch.testing.assert_close(out[1], (0.8 * mel[1].exp() + 0.2 * everyone[0].exp()).log())


def test_a_share_of_nothing_changes_nothing() -> None:
    mel = normal(2, 1, 4, 5)
    torch.testing.assert_close(BackgroundMix().apply(mel, Mix(torch.tensor([1, 0]), torch.zeros(2)), mel), mel)


def test_mixing_digital_silence_with_a_loud_clip_stays_finite() -> None:
    mel = torch.stack([torch.full((1, 2, 2), -200.0), torch.full((1, 2, 2), 200.0)])
    out = BackgroundMix().apply(mel, Mix(torch.tensor([1, 0]), torch.full((2,), 0.1)), mel)
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
    mel = normal(2, 1, 3, 5)
    out = LinearFader().apply(mel, Ramp(torch.tensor([-1.0, 0.5]), torch.tensor([1.0, 0.5])))
    lines = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 1.0], [0.5] * 5])
    torch.testing.assert_close(out - mel, lines[:, None, None, :].expand(2, 1, 3, 5))


def test_no_augmentation_changes_its_input() -> None:
    mel = normal(4, 1, 8, 12)
    before = mel.clone()
    background, crop, fader = BackgroundMix(), RandomResizeCrop(), LinearFader()
    for out in (
        background.apply(mel, background.draw(4, seeded()), mel),
        crop.apply(mel, crop.draw(4, seeded()), mel.mean()),
        fader.apply(mel, fader.draw(4, seeded())),
    ):
        assert out.shape == mel.shape
        assert not torch.equal(out, mel)
        assert torch.equal(mel, before)


def test_a_view_is_finite_and_a_function_of_the_generator() -> None:
    augment, mel = Augmentation(), normal(4, 1, 16, 24)
    before = mel.clone()
    generator = seeded(1)
    first, second, again = augment(mel, generator), augment(mel, generator), augment(mel, seeded(1))
    assert first.shape == second.shape == mel.shape
    assert torch.isfinite(torch.stack([first, second])).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(mel, before)


def test_a_view_is_the_noise_then_the_crop_then_the_fader() -> None:
    background, crop, fader = BackgroundMix(), RandomResizeCrop(), LinearFader()
    mel, generator = normal(4, 1, 8, 12) + 2.0, seeded(2)
    expected = background.apply(mel, background.draw(4, generator), mel)
    expected = crop.apply(expected, crop.draw(4, generator), expected.mean())
    expected = fader.apply(expected, fader.draw(4, generator))
    assert torch.equal(Augmentation(background, crop, fader)(mel, seeded(2)), expected)


# Of the three alone, written down before there were others: every fifth value of two views.
AS_EVER = (
    [-7.8409958, -2.7869091, -2.7871599, -4.8460574, -3.9243476, -4.6357980, -2.3152714, -5.0493493, -5.2502565,
     -1.7336339, -3.6239805, -6.1034460, -7.1208506, -4.0137649, -3.5635338],
    [-3.8575387, -3.0056207, -2.4885420, -3.7117875, -2.9656584, -6.4506383, -4.0141625, -4.5105762, -3.4814777,
     -1.5181850, -3.3059745, -4.4183683, -4.8075614, -5.2472973, -3.4826717],
)  # fmt: skip


def test_the_views_of_a_run_without_further_augmentations_are_those_that_they_were() -> None:
    mel, generator = normal(3, 1, 4, 6) * 2 - 5, seeded(7)
    augment = build_augmentation(AugmentConfig())
    assert augment == Augmentation()
    for expected in AS_EVER:
        found = augment(mel, generator).flatten()[::5]
        torch.testing.assert_close(found, torch.tensor(expected), atol=2e-6, rtol=0)


def test_what_is_off_changes_nothing_and_leaves_the_draws_of_the_others() -> None:
    mel = normal(4, 1, 8, 12)
    assert build_augmentation(AugmentConfig(crop_by="none", background_share=0.0, fader_gain=0.0))(mel, seeded()) is mel
    crop, generator = RandomResizeCrop(), seeded(2)
    BackgroundMix().draw(4, generator)
    expected = crop.apply(mel, crop.draw(4, generator), mel.mean())
    quiet = build_augmentation(AugmentConfig(background_share=0.0, fader_gain=0.0))
    assert torch.equal(quiet(mel, seeded(2)), expected)


@pytest.mark.parametrize("count", [2, 3])
def test_the_views_of_several_processes_are_parts_of_the_view_of_one(count: int) -> None:
    mel = normal(6, 1, 16, 24) + 2.0 * torch.arange(6.0)[:, None, None, None]  # halves of another level
    augment, generator = Augmentation(), seeded(5)
    whole = [augment(mel, generator) for _ in range(2)]

    def views(ranks: Ranks) -> list[Tensor]:
        own = seeded(5)
        return [augment(mel[ranks.share(6)], own, ranks) for _ in range(2)]

    for together, view in zip(in_threads(count, views), whole, strict=True):
        torch.testing.assert_close(together, view, atol=5e-6, rtol=0)
