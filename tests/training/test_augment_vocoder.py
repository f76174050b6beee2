"""Time stretch and pitch shift: the phase vocoder against a slow one, and what is heard of a tone and of an event."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.augmenting import RATE, decibels, is_seeded, normal, seeded, sine
from training.augment.pitch_shift import Pitch, PitchShift
from training.augment.time_stretch import Speed, TimeStretch, longer_by
from training.augment.vocoder import phase_vocoder, vocoder_window

MANY = 4000
WINDOW = 1024
RATES = torch.tensor([0.5, 0.9, 1.0, 1.1, 2.0])


def pitch_of(sound: Tensor) -> float:
    """Hz of the strongest component: the top of a parabola through the highest bin and its neighbours."""
    power = torch.fft.rfft(sound * torch.hann_window(len(sound))).abs().log()
    top = int(power[1:-1].argmax()) + 1
    a, b, c = power[top - 1 : top + 2].tolist()
    return (top + (a - c) / (2 * (a - 2 * b + c))) * RATE / len(sound)


def burst(middle: float, deviation: float, samples: int) -> Tensor:
    """A tone of 1 kHz under a Gaussian: an event, with its middle and its deviation in samples."""
    away = (torch.arange(samples) - middle) / deviation
    return sine(1000, samples) * (-away.square() / 4).exp()


def event_of(sound: Tensor) -> tuple[float, float]:
    """Middle and deviation of the power of a sound, in samples."""
    power, time = sound.double().square(), torch.arange(len(sound))
    middle = (power * time).sum() / power.sum()
    return middle.item(), ((power * (time - middle).square()).sum() / power.sum()).sqrt().item()


# The phase vocoder.


def one_by_one(audio: np.ndarray, rate: float, samples: int, window: int) -> np.ndarray:
    """Of one row, frame by frame and bin by bin."""
    hop, hann = window // 4, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    padded = np.concatenate([np.zeros(window // 2), audio, np.zeros(hop + window // 2)])
    frames = [np.fft.rfft(padded[i : i + window] * hann) for i in range(0, len(padded) - window + 1, hop)]
    out, weight = np.zeros(samples + 2 * window), np.zeros(samples + 2 * window)
    turn = np.zeros(window // 2 + 1)
    previous = None
    for number in range(1 + math.ceil(samples / hop)):
        place = (len(audio) / 2 + (number * hop - samples / 2) * rate) / hop
        place = min(max(place, 0.0), len(frames) - 1.0)
        left, near, last = math.floor(place), round(place), len(frames) - 1
        here, right = frames[near], frames[min(left + 1, last)]
        if previous is not None:
            jump = np.angle(previous) - np.angle(here)
            turn = np.array([turn[peak] + jump[peak] for peak in (climb(np.abs(here), k) for k in range(len(here)))])
        previous = frames[min(near + 1, last)]
        magnitude = np.abs(frames[left]) * (left + 1 - place) + np.abs(right) * (place - left)
        sound = np.fft.irfft(magnitude * np.exp(1j * (np.angle(here) + turn)), window)
        out[number * hop : number * hop + window] += sound * hann
        weight[number * hop : number * hop + window] += hann**2
    return (out[window // 2 :] / np.maximum(weight[window // 2 :], 1e-9))[:samples]


def climb(magnitude: np.ndarray, k: int) -> int:
    """The peak that is reached by going to the highest of the five bins around, over and over."""
    while True:
        around = range(max(0, k - 2), min(len(magnitude), k + 3))
        higher = max(around, key=lambda bin_: magnitude[bin_])
        if higher == k:
            return k
        k = higher


@pytest.mark.parametrize(("count", "samples"), [(200, 200), (231, 201), (100, 150), (40, 30)])
def test_the_vocoder_is_the_slow_one(count: int, samples: int) -> None:
    audio = normal(len(RATES), count).double()
    out = phase_vocoder(audio, RATES.double(), samples, 64)
    assert out.shape == (len(RATES), samples)
    for row, rate in enumerate(RATES.tolist()):
        expected = one_by_one(audio[row].numpy(), rate, samples, 64)
        torch.testing.assert_close(out[row], torch.from_numpy(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [300, 2304, 16224])
def test_at_its_own_speed_a_sound_stays_as_it_is(count: int) -> None:
    audio = normal(2, count)
    torch.testing.assert_close(phase_vocoder(audio, torch.ones(2), count, WINDOW), audio, atol=1e-5, rtol=0)


def test_rows_do_not_depend_on_each_other() -> None:
    audio = normal(len(RATES), 5000)
    together = phase_vocoder(audio, RATES, 4000, WINDOW)
    for row in range(len(RATES)):
        alone = phase_vocoder(audio[row : row + 1], RATES[row : row + 1], 4000, WINDOW)
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("hertz", [200.0, 1234.5, 6000.0])
def test_a_tone_keeps_its_pitch_and_its_level_at_any_speed(hertz: float) -> None:
    out = phase_vocoder(sine(hertz, 24000).expand(len(RATES), -1), RATES, 10000, WINDOW)
    for row in out:
        assert pitch_of(row) == pytest.approx(hertz, rel=2e-4, abs=0.1)
        assert row.square().mean().item() == pytest.approx(0.5, rel=0.02)


def test_an_event_gets_shorter_or_longer_and_comes_nearer_to_the_middle_or_farther_from_it() -> None:
    event = burst(middle=12000 - 1500, deviation=800, samples=24000)
    out = phase_vocoder(event.expand(len(RATES), -1), RATES, 20000, WINDOW)
    for row, rate in zip(out, RATES.tolist(), strict=True):
        middle, deviation = event_of(row)
        assert middle == pytest.approx(10000 - 1500 / rate, abs=20)
        assert deviation == pytest.approx(800 / rate, rel=0.05)


def test_silence_stays_silent() -> None:
    assert (phase_vocoder(torch.zeros(2, 3000), torch.tensor([0.9, 1.1]), 2304, WINDOW) == 0).all()
    assert (PitchShift(WINDOW).apply(torch.zeros(2, 2304), Pitch(torch.tensor([-1.0, 1.0]))) == 0).all()


def test_the_window_is_about_64_ms_at_any_rate() -> None:
    assert [vocoder_window(rate) for rate in (8000, 16000, 22050, 32000, 44100, 48000)] == [
        512, 1024, 1024, 2048, 2048, 4096,
    ]  # fmt: skip


# Time stretch.


def test_draws_depend_on_their_generator_alone() -> None:
    assert is_seeded(TimeStretch(8000, WINDOW, 1.0))
    assert is_seeded(PitchShift(WINDOW, 1.0))


def test_half_of_the_rows_play_at_another_speed_within_range() -> None:
    rate = TimeStretch(8000, WINDOW, probability=0.5, most=0.1).draw(MANY, seeded()).rate
    assert (rate == 1).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert 0.9 <= rate.min() < 0.901 and 1.099 < rate.max() <= 1.1
    assert rate[rate != 1].mean().item() == pytest.approx(1.0, abs=0.005)


def test_a_row_that_is_not_stretched_is_the_middle_of_its_input() -> None:
    audio = normal(3, 5000)
    out = TimeStretch(4000, WINDOW).apply(audio, Speed(torch.tensor([1.0, 0.95, 1.0])))
    assert torch.equal(out[[0, 2]], audio[[0, 2], 500:4500])
    assert torch.equal(out[1:2], phase_vocoder(audio[1:2], torch.tensor([0.95]), 4000, WINDOW))


@pytest.mark.parametrize("most", [0.1, 0.5])
def test_at_the_highest_speed_the_crop_is_still_full(most: float) -> None:
    """No silence at its ends: every 20 ms are as loud as the whole within 0.5 dB."""
    samples = 16224
    audio = sine(1000, samples + 2 * longer_by(samples, most))[None]
    out = TimeStretch(samples, WINDOW, 1.0, most).apply(audio, Speed(torch.tensor([1 + most])))
    power = out[0].unfold(0, 320, 320).square().mean(1)
    assert decibels(power / 0.5).abs().max() < 0.5


@pytest.mark.parametrize("samples", [1, 2304, 16224, 16225])
def test_what_is_read_beside_a_crop_is_just_enough_for_the_highest_speed(samples: int) -> None:
    assert longer_by(samples, 0.0) == 0
    for most in (0.1, 0.25, 0.5):
        whole = samples + 2 * longer_by(samples, most)
        assert samples * (1 + most) <= whole < samples * (1 + most) + 2


# Pitch shift.


def test_pitches_are_within_range_and_some_stay() -> None:
    semitones = PitchShift(WINDOW, probability=0.25, most=4.0).draw(MANY, seeded()).semitones
    assert (semitones == 0).float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert -4 <= semitones.min() < -3.98 and 3.98 < semitones.max() <= 4
    assert semitones.mean().abs() < 0.1


@pytest.mark.parametrize("hertz", [300.0, 1234.5, 3000.0])
def test_an_octave_doubles_or_halves_the_frequency_of_a_tone(hertz: float) -> None:
    semitones = torch.tensor([-12.0, -3.5, 1.0, 7.0, 12.0])
    out = PitchShift(WINDOW, most=12.0).apply(sine(hertz, 12000).expand(5, -1), Pitch(semitones))
    for row, by in zip(out, semitones.tolist(), strict=True):
        assert pitch_of(row) == pytest.approx(hertz * 2 ** (by / 12), rel=2e-4, abs=0.1)
        assert row[1000:-1000].square().mean().item() == pytest.approx(0.5, rel=0.03)


def test_nothing_but_the_tone_is_heard() -> None:
    """What resampling leaves besides, mirrored or folded over, is 45 dB below."""
    for hertz, by in ((6000.0, -2.0), (6000.0, 2.0), (3000.0, 12.0), (500.0, -12.0)):
        out = PitchShift(WINDOW, most=12.0).apply(sine(hertz, 12000)[None], Pitch(torch.tensor([by])))[0, 2000:10000]
        power = torch.fft.rfft(out * torch.hann_window(8000)).abs().square()
        top = int(power.argmax())
        tone = power[top - 8 : top + 9].sum()
        assert decibels((power.sum() - tone) / tone) < -45


def test_what_would_lie_above_nyquist_is_left_out() -> None:
    out = PitchShift(WINDOW, most=12.0).apply(sine(6000, 12000)[None], Pitch(torch.tensor([12.0])))
    assert decibels(out[0, 2000:-2000].square().mean() / 0.5) < -60


def test_a_pitch_shift_keeps_time() -> None:
    event = burst(middle=5000, deviation=800, samples=16000)
    for row in PitchShift(WINDOW, most=5.0).apply(event.expand(2, -1), Pitch(torch.tensor([-5.0, 5.0]))):
        middle, deviation = event_of(row)
        assert middle == pytest.approx(5000, abs=20)
        assert deviation == pytest.approx(800, rel=0.05)


def test_a_row_that_is_not_shifted_is_its_input() -> None:
    audio, pitch = normal(3, 3000), Pitch(torch.tensor([0.0, 2.0, 0.0]))
    out = PitchShift(WINDOW).apply(audio, pitch)
    assert torch.equal(out[[0, 2]], audio[[0, 2]])
    alone = PitchShift(WINDOW).apply(audio[1:2], Pitch(pitch.semitones[1:2]))
    torch.testing.assert_close(out[1:2], alone, atol=1e-5, rtol=0)


def test_the_largest_shift_that_may_be_drawn_changes_no_row() -> None:
    """It sets the length in between, of which each row uses its own part."""
    audio, pitch = normal(1, 4096), Pitch(torch.tensor([1.5]))
    narrow, wide = (PitchShift(WINDOW, most=most).apply(audio, pitch) for most in (2.0, 12.0))
    assert decibels((narrow - wide)[:, 1024:-1024].square().mean() / audio.square().mean()) < 3
    assert pitch_of(PitchShift(WINDOW, most=2.0).apply(sine(500, 4096)[None], pitch)[0]) == pytest.approx(
        pitch_of(PitchShift(WINDOW, most=12.0).apply(sine(500, 4096)[None], pitch)[0]), abs=0.1
    )
