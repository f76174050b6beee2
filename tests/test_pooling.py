"""Pooling against a loop over frames, and against itself in pieces."""

from __future__ import annotations

import pytest
import torch

from selfie_hear.pooling import mean_max, sliding_mean_max

FRAMES = torch.randn(2, 29, 5, generator=torch.Generator().manual_seed(0))


def naive_sliding(frames: torch.Tensor, window: int) -> torch.Tensor:
    half, count = window // 2, frames.shape[1]
    spans = [frames[:, max(0, k - half) : min(count, k + half + 1)] for k in range(count)]
    return torch.stack([span.mean(1) + span.amax(1) for span in spans], dim=1)


def test_mean_max_by_hand() -> None:
    frames = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [2.0, 0.0]]])
    assert torch.equal(mean_max([frames]), torch.tensor([[5.0, -2.0]]))


@pytest.mark.parametrize("piece", [1, 2, 7, 29])
def test_mean_max_in_pieces(piece: int) -> None:
    assert torch.allclose(mean_max(FRAMES.split(piece, 1)), mean_max([FRAMES]), atol=1e-7, rtol=0)


@pytest.mark.parametrize("window", [1, 3, 13, 29, 101, 1_000_001])
@pytest.mark.parametrize("piece", [1, 4, 29])
def test_sliding_windows_equal_a_loop(window: int, piece: int) -> None:
    ours = torch.cat(list(sliding_mean_max(FRAMES.split(piece, 1), window)), dim=1)
    assert torch.allclose(ours, naive_sliding(FRAMES, window), atol=1e-6)


@pytest.mark.parametrize("window", [3, 13])
def test_sliding_windows_are_bit_equal_in_any_pieces(window: int) -> None:
    whole = torch.cat(list(sliding_mean_max([FRAMES], window)), dim=1)
    for piece in (1, 5, 13, 28):
        assert torch.equal(torch.cat(list(sliding_mean_max(FRAMES.split(piece, 1), window)), dim=1), whole)


@pytest.mark.parametrize("window", [0, 2, -1])
def test_windows_must_be_odd(window: int) -> None:
    with pytest.raises(ValueError, match="odd"):
        list(sliding_mean_max([FRAMES], window))


def test_nothing_to_pool_is_an_error() -> None:
    with pytest.raises(ValueError, match="no frames"):
        mean_max([])
    with pytest.raises(ValueError, match="no frames"):
        list(sliding_mean_max([], 3))
