"""A stream of frames as few columns."""

from __future__ import annotations

import numpy as np
import pytest

from selfie_hear.explore.columns import Columns


def in_pieces(frames: np.ndarray, most: int, seed: int) -> Columns:
    columns, draws, start = Columns(most), np.random.default_rng(seed), 0
    while start < len(frames):
        stop = start + int(draws.integers(0, 40))
        columns.add(frames[start:stop])
        start = stop
    return columns


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17, 250, 1000])
def test_columns_are_means_of_equal_runs_however_the_frames_come(count: int) -> None:
    frames = np.random.default_rng(count).normal(size=(count, 3))
    for seed in range(3):
        columns = in_pieces(frames, 8, seed)
        value = columns.value()
        width = columns.width
        expected = [frames[start : start + width].mean(axis=0) for start in range(0, count, width)]
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
        assert len(value) <= 8
        assert width == 1 or len(value) > 4


@pytest.mark.parametrize("most", [0, 1, 7])
def test_pairs_need_an_even_number(most: int) -> None:
    with pytest.raises(ValueError, match="even"):
        Columns(most)
