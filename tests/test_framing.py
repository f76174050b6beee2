"""Time arithmetic, checked by hand and over every length near a frame's edge."""

from __future__ import annotations

import pytest

from selfie_hear.config import ConfigError, FrontEndConfig
from selfie_hear.framing import FrameGrid

GRID = FrameGrid.of(FrontEndConfig(), stride=4, context=4)


def test_a_crop_of_the_paper_has_96_mel_frames_and_24_output_frames() -> None:
    assert GRID.mel_frames(15200) == 96
    assert GRID.frames(15200) == 24


def test_centres_by_hand() -> None:
    # Output frame k holds mel frames 4k to 4k + 3, centred on 40k, ..., 40k + 30 ms.
    assert GRID.centres_ms(16000)[:3] == [15.0, 55.0, 95.0]


@pytest.mark.parametrize("base", [640, 6400, 16000, 160000])
def test_centres_keep_the_rules_of_hear(base: int) -> None:
    for samples in range(base, base + 645):
        centres = GRID.centres_ms(samples)
        end = samples / 16
        assert centres[0] <= 40.0
        assert end - 50.0 < centres[-1] <= end
        assert len(centres) == GRID.frames(samples)
        assert GRID.mel_frames(samples) >= 4 * len(centres)


@pytest.mark.parametrize("samples", [1, 100, 239, 240, 480, 639])
def test_very_short_clips_have_one_centre_inside_them(samples: int) -> None:
    (centre,) = GRID.centres_ms(samples)
    assert 0 < centre <= samples / 16


def test_no_drift_in_an_hour() -> None:
    centres = GRID.centres_ms(3600 * 16000)
    assert len(centres) == 90000
    assert centres[-1] == 15.0 + 40.0 * 89999


@pytest.mark.parametrize(("milliseconds", "frames"), [(500, 13), (40, 1), (1, 1), (120, 3), (200, 5), (1000, 25)])
def test_windows_are_odd_and_nearest(milliseconds: float, frames: int) -> None:
    assert GRID.window_frames(milliseconds) == frames


@pytest.mark.parametrize("milliseconds", [0.0, -10.0, 1e9, float("inf"), float("nan")])
def test_windows_have_a_length(milliseconds: float) -> None:
    with pytest.raises(ConfigError, match="expected more than 0 and at most 60000 ms"):
        GRID.window_frames(milliseconds)


def test_spans_by_hand() -> None:
    assert GRID.mel_span(0, 10, None) == (0, 44)
    assert GRID.mel_span(10, 20, None) == (36, 84)
    assert GRID.mel_span(10, 20, 82) == (36, 82)
    assert GRID.sample_span(0, 1) == (-512, 512)
    assert GRID.sample_span(36, 84) == (36 * 160 - 512, 83 * 160 + 512)
    assert GRID.samples_to_emit(20) == 83 * 160 + 512


def test_spans_of_whole_units_by_hand() -> None:
    grid = FrameGrid.of(FrontEndConfig(), stride=4, context=0, unit=64)
    assert grid.mel_span(0, 5, None) == (0, 64)
    assert grid.mel_span(17, 40, None) == (64, 192)
    assert grid.mel_span(17, 40, 170) == (64, 170)
    assert grid.mel_span(33, 40, 170) == (64, 170)  # the last 64 mel frames are in it
    assert grid.mel_span(0, 5, 21) == (0, 21)
    assert grid.samples_to_emit(17) == 127 * 160 + 512
    assert [grid.whole_units(frames) for frames in (1, 16, 17)] == [16, 16, 32]
    assert GRID.whole_units(7) == 7
    convolution = FrameGrid.of(FrontEndConfig(), stride=4, context=20, unit=16)
    assert convolution.mel_span(10, 12, None) == (16, 80)
    assert convolution.mel_span(10, 12, 60) == (16, 60)
