"""ThreePathNTT: its spectrograms against slow ones, what each path hears, how far it sees."""

from __future__ import annotations

import math

import pytest
import torch

from selfie_hear.config import ConfigError
from selfie_hear.encoders import ThreePathNTT
from selfie_hear.encoders.three_path_ntt import relative_level, smooth_bands


@pytest.fixture
def encoder() -> ThreePathNTT:
    torch.manual_seed(0)
    encoder = ThreePathNTT(16, 4, 24, 0.0, reach=20)
    for _ in range(20):
        encoder(torch.randn(8, 1, 16, 80) * 5 - 7)  # gathers statistics
    return encoder.eval()


def test_its_size() -> None:
    encoder = ThreePathNTT()
    assert encoder.dim == 3072
    assert sum(p.numel() for p in encoder.parameters()) == 3_177_894
    assert [path.dim for path in (encoder.plain, encoder.relative, encoder.smoothed)] == [512, 512, 2048]


@pytest.mark.parametrize("frames", [1, 3, 4, 18, 40, 77])
def test_relative_level_is_to_the_mean_power_around(frames: int) -> None:
    mel = torch.randn(2, 1, 3, frames, dtype=torch.float64) * 3
    step, reach = 4, 12
    # Power averaged in blocks of four frames, then over the blocks around, as many as there are.
    starts = range(0, frames, step)
    for clip in range(2):
        for band in range(3):
            power = mel[clip, 0, band].exp().tolist()
            blocks = [power[start : start + step] for start in starts]
            means = [sum(block) / len(block) for block in blocks]
            for frame in range(frames):
                block = frame // step
                near = means[max(0, block - reach // step) : block + reach // step + 1]
                expected = math.log(power[frame]) - math.log(sum(near) / len(near))
                assert float(relative_level(mel, step, reach)[clip, 0, band, frame]) == pytest.approx(expected)


@pytest.mark.parametrize(("bands", "weights"), [(1, [1]), (3, [1, 2, 1]), (5, [1, 3, 4, 3, 1])])
def test_smoothing_is_a_weighted_mean_over_bands(bands: int, weights: list[int]) -> None:
    """Against loops; the outermost bands are repeated."""
    mel = torch.randn(2, 1, 8, 5, dtype=torch.float64)
    smooth = smooth_bands(mel, bands)
    half = bands // 2
    for band in range(8):
        near = [mel[:, :, min(max(band + offset, 0), 7)] for offset in range(-half, half + 1)]
        expected = sum(weight * value for weight, value in zip(weights, near, strict=True)) / sum(weights)
        torch.testing.assert_close(smooth[:, :, band], expected)


def test_smoothing_keeps_what_all_bands_share() -> None:
    mel = torch.randn(2, 1, 1, 50).expand(2, 1, 8, 50)
    torch.testing.assert_close(smooth_bands(mel, 5), mel)


def test_the_relative_paths_do_not_hear_what_bands_are_multiplied_with(encoder: ThreePathNTT) -> None:
    mel = torch.randn(1, 1, 16, 80)
    coloured = mel + 3 * torch.randn(1, 1, 16, 1)
    before, after = encoder(mel), encoder(coloured)
    local = encoder.plain.dim
    assert torch.allclose(before[..., local:], after[..., local:], atol=1e-4)
    assert not torch.allclose(before[..., :local], after[..., :local], atol=0.1)


def test_a_frame_sees_no_further_than_its_reach_and_context(encoder: ThreePathNTT) -> None:
    mel = torch.randn(1, 1, 16, 160)
    far = encoder.context + encoder.reach
    disturbed = mel.clone()
    disturbed[..., : 4 * 15 - far] += 10.0
    disturbed[..., 4 * 16 + far :] += 10.0
    assert torch.allclose(encoder(mel)[:, 15], encoder(disturbed)[:, 15], atol=1e-6)
    disturbed[..., 4 * 16 + far - 1] += 10.0
    assert not torch.allclose(encoder(mel)[:, 15], encoder(disturbed)[:, 15], atol=1e-6)


def test_what_is_encoded_is_what_was_prepared(encoder: ThreePathNTT) -> None:
    mel = torch.randn(2, 1, 16, 50)
    planes = encoder.prepare(mel)
    assert planes.shape == (2, 3, 16, 50)
    assert torch.equal(planes[:, :1], mel)
    assert torch.equal(planes[:, 1:2], relative_level(mel, 4, 20))
    assert torch.equal(planes[:, 2:], smooth_bands(planes[:, 1:2], 5))
    assert torch.equal(encoder.encode(planes), encoder(mel))


@pytest.mark.parametrize("reach", [0, -4, 6])
def test_a_wrong_reach(reach: int) -> None:
    with pytest.raises(ConfigError, match="reach must be a positive multiple of 4 frames"):
        ThreePathNTT(reach=reach)


@pytest.mark.parametrize("bands", [0, -1, 4])
def test_a_wrong_number_of_bands(bands: int) -> None:
    with pytest.raises(ConfigError, match="bands must be a positive odd number"):
        ThreePathNTT(bands=bands)


def test_the_order_of_the_smoothed_local_values_can_be_told(encoder: ThreePathNTT) -> None:
    mel = torch.randn(1, 1, 16, 80)
    planes = encoder.prepare(mel)
    expected = encoder.smoothed(planes[:, 2:])[..., : 4 * 4]
    assert torch.equal(encoder(mel)[..., encoder.timed], expected)
