"""StridedEncoder: how coarse frames become output frames, how segments are cut, how far convolutions see."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfie_hear.config import ConfigError
from selfie_hear.encoders.strided import StridedEncoder, half_field


class Starts(StridedEncoder):
    """Each frame tells the number of its first mel frame, and how long the piece is that the network was given."""

    dim = 2

    def network(self, x: Tensor) -> Tensor:
        first = x[:, 0, 0, :: self.step]
        return torch.stack([first, torch.full_like(first, x.shape[3])], dim=2)


def starts(encoder: StridedEncoder, frames: int) -> tuple[list[int], list[int]]:
    numbers = torch.arange(frames, dtype=torch.float32).expand(1, 1, 3, frames)
    out = encoder(numbers)[0]
    return out[:, 0].int().tolist(), out[:, 1].int().tolist()


def build(step: int, segment: int | None, centre: float) -> StridedEncoder:
    return Starts(step, segment=segment, centre=centre, input_mean=0.0, input_std=1.0)


def test_an_output_frame_is_the_nearest_of_the_network() -> None:
    # Centres of output frames: 1.5, 5.5, 9.5, ...; of the network's: 0, 16, 32.
    assert starts(build(16, None, 0.0), 44) == ([0, 0, 16, 16, 16, 16, 32, 32, 32, 32, 32], [48] * 11)
    # Of the network's: 31, 63.
    assert starts(build(32, None, 31.0), 64)[0] == [0] * 12 + [32] * 4
    # In the middle of the block: each counts for its own mel frames.
    assert starts(build(8, None, 3.5), 17)[0] == [0, 0, 8, 8]
    assert starts(build(4, None, 1.5), 13)[0] == [0, 4, 8]


def test_the_last_segment_ends_with_the_clip() -> None:
    encoder = build(8, 16, 3.5)
    assert starts(encoder, 16) == ([0, 0, 8, 8], [16] * 4)
    assert starts(encoder, 12) == ([0, 0, 8], [16] * 3)  # completed to a whole frame
    assert starts(encoder, 5) == ([0], [8])
    assert starts(encoder, 38) == ([0, 0, 8, 8, 16, 16, 24, 24, 32], [16] * 9)  # 0-15, 16-31 and 24-39
    assert encoder.unit == 16
    assert encoder.context == 0


def test_no_segment_is_heard_for_mel_frames_that_no_output_frame_has() -> None:
    encoder = build(4, 16, 1.5)
    heard: list[int] = []
    network = encoder.network
    encoder.network = lambda x: heard.append(x.shape[3]) or network(x)  # type: ignore[method-assign]
    starts(encoder, 18)
    assert heard == [16]


def test_half_field_by_hand() -> None:
    assert half_field([(3, 1)]) == 1
    assert half_field([(3, 1), (3, 1)]) == 2
    assert half_field([(7, 2), (3, 2), (3, 1)]) == 3 + 2 + 4
    assert half_field([(1, 2), (3, 1)]) == 2


def test_context_covers_the_field_and_half_a_step() -> None:
    encoder = Starts(16, half_field=226)
    assert encoder.context == 236
    assert encoder.unit == 16


@pytest.mark.parametrize("segment", [0, -16, 24, 16.0, "16"])
def test_a_wrong_segment(segment: int) -> None:
    with pytest.raises(ConfigError, match="expected a positive multiple of 16 mel frames, got"):
        Starts(16, segment=segment)


@pytest.mark.parametrize(("mean", "std"), [(1.0, None), (None, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, float("nan"))])
def test_wrong_statistics(mean: float | None, std: float | None) -> None:
    with pytest.raises(ConfigError, match="input_mean and input_std: expected both, and a deviation above 0"):
        Starts(16, input_mean=mean, input_std=std)
