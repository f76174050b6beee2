"""The temporal moment against a loop, in pieces, and what it does not hear."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from selfie_hear.moment import TimeMoment

GENERATOR = torch.Generator().manual_seed(0)
FRAMES = torch.randn(2, 29, 5, generator=GENERATOR)
ENERGY = torch.rand(2, 29, generator=GENERATOR) * 3 + 0.01


def moment(frames: Tensor, energy: Tensor, piece: int = 1000) -> Tensor:
    found = TimeMoment()
    for part, power in zip(frames.split(piece, 1), energy.split(piece, 1), strict=True):
        found.add(part, power)
    return found.value()


def naive(frames: Tensor, energy: Tensor) -> list[float]:
    """Of one clip."""
    weights = [float(power) for power in energy]
    total = sum(weights)
    centre = sum(weight * time for time, weight in enumerate(weights)) / total
    spread = math.sqrt(sum(weight * (time - centre) ** 2 for time, weight in enumerate(weights)) / total)
    scaled = [weight * (time - centre) / max(spread, 1.0) / total for time, weight in enumerate(weights)]
    return [sum(s * float(value) for s, value in zip(scaled, column, strict=True)) for column in frames.T]


def test_moment_equals_a_loop() -> None:
    found = moment(FRAMES, ENERGY)
    assert found.dtype == torch.float32
    for clip in range(2):
        assert found[clip].tolist() == pytest.approx(naive(FRAMES[clip], ENERGY[clip]), abs=1e-6)


@pytest.mark.parametrize("piece", [1, 2, 7, 28])
def test_moment_in_pieces(piece: int) -> None:
    assert torch.allclose(moment(FRAMES, ENERGY, piece), moment(FRAMES, ENERGY), atol=1e-7, rtol=0)


def test_frames_are_handed_on_as_they_come_and_the_moment_is_of_the_values_asked_for() -> None:
    found, pieces = TimeMoment(), list(zip(FRAMES.split(10, 1), ENERGY.split(10, 1), strict=True))
    handed = list(found.watch(pieces, slice(1, 3)))
    assert all(torch.equal(mine, theirs) for mine, (theirs, _) in zip(handed, pieces, strict=True))
    assert torch.allclose(found.value(), moment(FRAMES, ENERGY)[:, 1:3], atol=1e-7)


def test_what_is_late_is_positive_and_backwards_the_opposite() -> None:
    rising = torch.linspace(0, 1, 20)[None, :, None]
    energy = torch.ones(1, 20)
    assert moment(rising, energy).item() > 0.2
    assert torch.allclose(moment(FRAMES.flip(1), ENERGY.flip(1)), -moment(FRAMES, ENERGY), atol=1e-6)


def test_volume_silence_around_and_what_does_not_change_are_not_heard() -> None:
    found = moment(FRAMES, ENERGY)
    assert torch.allclose(moment(FRAMES, 100 * ENERGY), found, atol=1e-6)
    silent = torch.full((2, 500), 1e-20)
    padded = torch.cat([torch.randn(2, 500, 5), FRAMES, torch.randn(2, 500, 5)], dim=1)
    assert torch.allclose(moment(padded, torch.cat([silent, ENERGY, silent], dim=1), 256), found, atol=1e-6)
    assert torch.allclose(moment(FRAMES + 7.0, ENERGY), found, atol=1e-5)


def test_a_sound_hours_into_a_clip_has_the_moment_that_it_has_alone() -> None:
    """10^6 frames are 11 hours."""
    faint = torch.full((2, 1_000_000), 1e-25)
    frames = torch.cat([torch.zeros(2, 1_000_000, 5), FRAMES], dim=1)
    long = moment(frames, torch.cat([faint, ENERGY * 1e6], dim=1), 4096)
    assert torch.allclose(long, moment(FRAMES, ENERGY), atol=1e-4)


def test_one_frame_has_no_order() -> None:
    assert torch.equal(moment(FRAMES[:, :1], ENERGY[:, :1]), torch.zeros(2, 5))


def test_gradients_flow() -> None:
    frames = FRAMES.clone().requires_grad_()
    moment(frames, ENERGY).sum().backward()
    assert frames.grad is not None
    assert frames.grad.abs().sum() > 0


def test_nothing_to_pool_is_an_error() -> None:
    with pytest.raises(ValueError, match="no frames"):
        TimeMoment().value()
