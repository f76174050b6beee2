"""Augmentations of waveforms that keep time and pitch: rooms, noise, fades, flips and padding."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.augmenting import RATE, decibels, is_seeded, normal, seeded
from training.augment.fade import SHAPES, Fade, Fades
from training.augment.flip import Direction, Flip
from training.augment.noise import AdditiveNoise, Noises
from training.augment.padding import Moves, RandomPadding
from training.augment.room import OCTAVES, RoomResponse, Rooms

MANY = 4000


@pytest.mark.parametrize(
    "augmentation",
    [
        RoomResponse(RATE, 0.5),
        AdditiveNoise(RATE, 50, 0.5, slope=(-6.0, 0.0)),
        Fade(0.5),
        Flip(0.5),
        RandomPadding(10**6),
    ],
)
def test_a_draw_depends_on_its_generator_alone(augmentation: Any) -> None:
    assert is_seeded(augmentation)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_as_many_rows_are_chosen_as_the_probability_says(probability: float) -> None:
    for chosen in (
        RoomResponse(100, probability).draw(MANY, seeded()).chosen,
        AdditiveNoise(RATE, 2, probability).draw(MANY, seeded()).chosen,
        Fade(probability).draw(MANY, seeded()).start > 0,
        Flip(probability).draw(MANY, seeded()).backwards,
    ):
        assert chosen.float().mean().item() == pytest.approx(probability, abs=0.03)


# Rooms.


def rooms(count: int, rt60: float, damping: float, ratio: float, seconds: float = 0.5) -> Rooms:
    same = [torch.full((count,), value) for value in (rt60, damping, ratio)]
    return Rooms(torch.ones(count, dtype=torch.bool), *same, normal(count, round(seconds * RATE), seed=5))


def response_one_by_one(drawn: Rooms, row: int) -> np.ndarray:
    """Octave by octave and sample by sample, in float64."""
    noise = drawn.noise[row].double().numpy()
    spectrum = np.fft.rfft(noise)
    hertz = np.arange(len(spectrum)) * RATE / len(noise)
    tail = np.zeros(len(noise))
    edges = [0.0] + [RATE / 2 / 2**n for n in range(OCTAVES - 1, -1, -1)]
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (hertz <= high) & ((hertz > low) | (number == 0))
        band = np.fft.irfft(np.where(inside, spectrum, 0), len(noise))
        middle = high / math.sqrt(2)
        rt60 = drawn.rt60[row].item() * (middle / 1000) ** -drawn.damping[row].item()
        for n in range(len(noise)):
            tail[n] += band[n] * 10 ** (-3 * (n + 1) / RATE / rt60)
    ratio = 10 ** (drawn.direct_ratio[row].item() / 10)
    whole = np.concatenate([[1.0], tail / math.sqrt((tail**2).sum() * ratio)])
    found: np.ndarray = whole / math.sqrt((whole**2).sum())
    return found


def test_a_response_is_what_it_is_octave_by_octave() -> None:
    room = RoomResponse(RATE, rt60=(0.02, 0.05))
    drawn = room.draw(3, seeded())
    found = room.responses(drawn)
    assert found.shape == (3, 801)
    for row in range(3):
        expected = torch.from_numpy(response_one_by_one(drawn, row)).float()
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)


def test_a_room_is_a_convolution_with_its_response() -> None:
    room, audio = RoomResponse(RATE, rt60=(0.05, 0.1)), normal(3, 4000)
    drawn = room.draw(3, seeded())
    drawn = drawn._replace(chosen=torch.tensor([True, False, True]))
    out, responses = room.apply(audio, drawn), room.responses(drawn)
    for row in (0, 2):
        expected = np.convolve(audio[row].numpy(), responses[row].numpy())[:4000]
        torch.testing.assert_close(out[row], torch.from_numpy(expected), atol=1e-4, rtol=0)
    assert torch.equal(out[1], audio[1])


def test_rooms_are_within_range() -> None:
    drawn = RoomResponse(100, rt60=(0.2, 0.9), direct_ratio=(-3.0, 12.0)).draw(MANY, seeded())
    assert drawn.noise.shape == (MANY, 90)
    assert 0.2 <= drawn.rt60.min() < 0.201 and 0.899 < drawn.rt60.max() <= 0.9
    assert -3 <= drawn.direct_ratio.min() < -2.98 and 11.98 < drawn.direct_ratio.max() <= 12
    assert drawn.noise.std().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 12.0])
def test_direct_sound_and_reverberation_are_as_strong_as_drawn(ratio: float) -> None:
    energy = RoomResponse(RATE).responses(rooms(4, 0.4, 0.2, ratio)).square()
    torch.testing.assert_close(energy.sum(1), torch.ones(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        decibels(energy[:, 0] / energy[:, 1:].sum(1)), torch.full((4,), ratio), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("rt60", [0.2, 0.5])
def test_reverberation_decays_by_60_db_in_its_time(rt60: float) -> None:
    tail = RoomResponse(RATE).responses(rooms(64, rt60, 0.0, 0.0))[:, 1:]
    level = decibels(tail.square().mean(0).unfold(0, 400, 400).mean(1))  # every 25 ms
    slope = np.polyfit(np.arange(len(level)) * 0.025, level.numpy(), 1)[0]
    assert slope == pytest.approx(-60 / rt60, rel=0.03)


def test_high_octaves_decay_faster_where_there_is_damping() -> None:
    tail = RoomResponse(RATE).responses(rooms(64, 0.4, 0.3, 0.0))[:, 1:]
    early, late = (torch.fft.rfft(part).abs().square().mean(0) for part in (tail[:, :2000], tail[:, 4000:6000]))
    fall = decibels(early / late)  # over 0.25 s
    low, high = fall[10:120].mean(), fall[600:950].mean()  # 80-960 Hz and 4.8-7.6 kHz
    assert high - low > 10


def test_white_noise_keeps_its_level_in_a_room() -> None:
    audio = normal(32, 16000)
    out = RoomResponse(RATE).apply(audio, rooms(32, 0.2, 0.1, 3.0))[:, 4000:]
    assert decibels(out.square().mean()).abs() < 0.3


# Noise.


def test_noise_is_within_range() -> None:
    drawn = AdditiveNoise(RATE, 3, snr=(-5.0, 20.0), slope=(-6.0, 1.0)).draw(MANY, seeded())
    assert drawn.white.shape == (MANY, 3)
    assert -5 <= drawn.snr.min() < -4.9 and 19.9 < drawn.snr.max() <= 20
    assert -6 <= drawn.slope.min() < -5.98 and 0.98 < drawn.slope.max() <= 1


@pytest.mark.parametrize("samples", [2304, 16225])
def test_the_ratio_that_was_drawn_is_measured(samples: int) -> None:
    add = AdditiveNoise(RATE, samples, snr=(-10.0, 30.0), slope=(-6.0, 3.0))
    audio = normal(8, samples) * torch.logspace(-3, 0, 8)[:, None]
    drawn = add.draw(8, seeded())
    noise = add.apply(audio, drawn) - audio
    measured = decibels(audio.square().mean(1) / noise.square().mean(1))
    torch.testing.assert_close(measured, drawn.snr, atol=0.02, rtol=0)


@pytest.mark.parametrize("slope", [0.0, -3.0, -6.0, 3.0])
def test_each_octave_of_the_noise_is_weaker_by_the_slope(slope: float) -> None:
    add = AdditiveNoise(RATE, 16000, snr=(0.0, 0.0), slope=(slope, slope))
    audio = torch.ones(16, 16000)
    noise = add.apply(audio, add.draw(16, seeded())) - audio
    power = torch.fft.rfft(noise).abs().square().mean(0)  # by Hz
    octaves = decibels(torch.stack([power[low : 2 * low].mean() for low in (125, 250, 500, 1000, 2000, 4000)]))
    torch.testing.assert_close(octaves.diff(), torch.full((5,), slope), atol=0.6, rtol=0)
    assert power[:20].max() < 1e-6 * power[20:].max()


def test_only_chosen_rows_get_noise_and_silence_gets_none() -> None:
    audio = normal(3, 2304)
    audio[2] = 0.0
    add = AdditiveNoise(RATE, 2304)
    drawn = add.draw(3, seeded())._replace(chosen=torch.tensor([False, True, True]))
    out = add.apply(audio, drawn)
    assert torch.equal(out[0], audio[0])
    assert not torch.equal(out[1], audio[1])
    assert (out[2] == 0).all()


def test_white_noise_is_what_was_drawn() -> None:
    add, audio = AdditiveNoise(RATE, 16000), normal(1, 16000, seed=1)
    white = normal(1, 16000, seed=2)
    noises = Noises(torch.tensor([True]), torch.tensor([0.0]), torch.tensor([0.0]), white)
    noise = add.apply(audio, noises) - audio
    assert torch.corrcoef(torch.cat([noise, white]))[0, 1] > 0.99  # all but what lies below 20 Hz


# Fades.


def test_fades_are_within_range_and_of_all_shapes() -> None:
    fades = Fade(share=0.4).draw(MANY, seeded())
    for share in (fades.start, fades.end):
        assert 0 < share.min() < 0.001 and 0.399 < share.max() <= 0.4
    assert torch.corrcoef(torch.stack([fades.start, fades.end]))[0, 1].abs() < 0.05
    assert torch.bincount(fades.shape).tolist() == pytest.approx([MANY / 3] * 3, rel=0.1)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_fade_is_what_it_is_sample_by_sample(shape: int) -> None:
    curve = [lambda x: x, lambda x: math.log10(1 + 9 * x), lambda x: (10**x - 1) / 9][shape]
    fades = Fades(torch.tensor([0.5, 0.0, 0.3]), torch.tensor([0.25, 0.4, 0.0]), torch.full((3,), shape))
    audio = normal(3, 37)
    out = Fade().apply(audio, fades)
    for row in range(3):
        for n in range(37):
            gain = 1.0
            if n + 0.5 < fades.start[row] * 37:
                gain *= curve((n + 0.5) / (fades.start[row].item() * 37))
            if 37 - n - 0.5 < fades.end[row] * 37:
                gain *= curve((37 - n - 0.5) / (fades.end[row].item() * 37))
            assert out[row, n].item() == pytest.approx(audio[row, n].item() * gain, abs=1e-5)


def test_shapes_rise_from_nothing_to_the_whole_and_two_mirror_each_other() -> None:
    x = torch.linspace(0.0, 1.0, 101)
    linear, logarithmic, exponential = (curve(x) for curve in SHAPES)
    for gain in (linear, logarithmic, exponential):
        assert gain[0] == 0 and gain[-1].item() == pytest.approx(1.0, abs=1e-6)
        assert (gain.diff() > 0).all()
    assert (logarithmic[1:-1] > linear[1:-1]).all() and (exponential[1:-1] < linear[1:-1]).all()
    torch.testing.assert_close(SHAPES[1](SHAPES[2](x)), x, atol=1e-5, rtol=0)


def test_a_row_that_does_not_fade_is_its_input() -> None:
    audio = normal(4, 100)
    assert torch.equal(Fade().apply(audio, Fade(probability=0.0).draw(4, seeded())), audio)


# Flips and padding.


def test_chosen_rows_are_played_backwards() -> None:
    audio = normal(3, 50)
    out = Flip().apply(audio, Direction(torch.tensor([True, False, True])))
    assert out[0].tolist() == audio[0].tolist()[::-1] and out[2].tolist() == audio[2].tolist()[::-1]
    assert torch.equal(out[1], audio[1])


def test_a_sound_moves_as_far_as_drawn_into_silence() -> None:
    audio = normal(5, 30)
    moves = Moves(torch.tensor([0, 7, -12, 30, -45]))
    out = RandomPadding(45).apply(audio, moves)
    for row, later in enumerate(moves.later.tolist()):
        padded = [0.0] * 45 + audio[row].tolist() + [0.0] * 45
        assert out[row].tolist() == padded[45 - later : 75 - later]
    assert (out[3:] == 0).all()


def test_every_move_is_equally_likely() -> None:
    later = RandomPadding(2).draw(MANY, seeded()).later
    assert torch.bincount(later + 2).tolist() == pytest.approx([MANY / 5] * 5, rel=0.12)


@pytest.mark.parametrize("audio", [torch.zeros(2, 2304), normal(1, 2304)])
def test_silence_stays_silent_and_a_single_row_is_enough(audio: Tensor) -> None:
    for step in (RoomResponse(RATE), AdditiveNoise(RATE, 2304), Fade(), Flip(1.0), RandomPadding(100)):
        before = audio.clone()
        out = step.apply(audio, step.draw(len(audio), seeded()))
        assert out.shape == audio.shape and torch.isfinite(out).all()
        assert bool((out == 0).all()) == bool((audio == 0).all())
        assert torch.equal(audio, before)
