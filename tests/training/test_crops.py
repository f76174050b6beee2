"""Crops of clips whose every sample says which clip and which place it comes from."""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from selfie_hear.config import ConfigError
from training.corpus import crops as crops_module
from training.corpus.crops import Crops, SamplingConfig
from training.corpus.pack import pack
from training.corpus.shards import PackError

RATE = 8000
CROP, MARGIN, BATCH = 40, 7, 4
LENGTHS = (50, 110, 190, 20, 41, 40)
DOMAINS = ("bird", "bird", "speech", "speech", "wind", "")
SLOTS = (1, 3, 5, 1, 1, 1)  # crops of each clip in an epoch: its length in crops, rounded, at least one
EPOCH = 3  # batches: 12 crops
EVERYTHING = np.arange(BATCH)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clip c holds the samples 1000 (c + 1), 1000 (c + 1) + 1, ...; in several shards, with a manifest."""
    audio = tmp_path_factory.mktemp("ramps")
    lines = ["path,domain,licence\n"]
    for clip, (length, domain) in enumerate(zip(LENGTHS, DOMAINS, strict=True)):
        ramp = np.arange(length, dtype=np.int16) + np.int16(1000 * (clip + 1))
        soundfile.write(audio / f"{clip}.wav", ramp, RATE, subtype="PCM_16")
        lines.append(f"{clip}.wav,{domain},CC0-1.0\n")
    (audio / "clips.csv").write_text("".join(lines))
    pack([audio / "clips.csv"], audio / "pack", RATE, workers=1, shard_bytes=300)
    assert len(list((audio / "pack").glob("audio-*.i16"))) > 1
    return audio / "pack"


def crops_of(folder: Path, batch: int = BATCH, seed: int = 0, margin: int = MARGIN, **sampling: Any) -> Crops:
    return Crops(folder, CROP, margin, batch, seed, SamplingConfig(**sampling))


def read_all(crops: Crops, step: int) -> np.ndarray:
    audio: np.ndarray = crops.read(step, np.arange(crops.batch)).audio.numpy()
    return audio


def source_of(row: np.ndarray) -> tuple[int, int]:
    """Clip of a crop, and the place in the clip at which the crop (without its margin) starts."""
    place = int(np.flatnonzero(row)[0])
    clip, sample = divmod(int(row[place]), 1000)
    return clip - 1, sample - place + MARGIN


def taken(crops: Crops, steps: range) -> Counter[int]:
    """How often each clip is taken in these batches."""
    return Counter(source_of(row)[0] for step in steps for row in read_all(crops, step)[0])


def counts(*each: int) -> Counter[int]:
    return Counter({clip: count for clip, count in enumerate(each) if count})


@pytest.mark.parametrize("views", [1, 2])
def test_a_batch_has_views_of_rows_of_a_crop_and_two_margins(folder: Path, views: int) -> None:
    batch = crops_of(folder, crops_per_clip=views).read(0, np.array([3, 0, 1]))
    assert batch.audio.shape == (views, 3, MARGIN + CROP + MARGIN)
    assert (batch.audio.dtype, batch.clips.dtype) == (torch.int16, torch.int64)


def test_a_batch_says_which_clip_of_the_pack_each_row_is_of(folder: Path) -> None:
    crops = crops_of(folder)
    for step in range(2 * EPOCH):
        batch = crops.read(step, np.array([3, 0, 1]))
        assert batch.clips.tolist() == [source_of(row)[0] for row in batch.audio[0].numpy()]


def test_parts_of_a_batch_are_its_rows_in_order(folder: Path) -> None:
    batch = crops_of(folder, crops_per_clip=2).read(0, np.arange(4))
    parts = batch.parts(2)
    assert [part.audio.shape[:2] for part in parts] == [(2, 2), (2, 2)]
    assert torch.equal(torch.cat([part.audio for part in parts], dim=1), batch.audio)
    assert torch.equal(torch.cat([part.clips for part in parts]), batch.clips)


@pytest.mark.parametrize("margin", [0, MARGIN, 500])
def test_every_crop_and_its_margins_are_what_the_clip_holds_there(folder: Path, margin: int) -> None:
    crops = crops_of(folder, margin=margin, crops_per_clip=2)
    for step in range(10 * EPOCH):
        for row in np.concatenate(list(read_all(crops, step))):
            place = int(np.flatnonzero(row)[0])
            clip, sample = divmod(int(row[place]), 1000)
            start = sample - place + margin  # of the crop without its margin
            length = LENGTHS[clip - 1]
            expected = [
                1000 * clip + source if 0 <= source < length else 0
                for source in range(start - margin, start + CROP + margin)
            ]
            assert row.tolist() == expected
            assert min(0, length - CROP) <= start <= max(0, length - CROP)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("rows", [[0], [3], [1, 2], [3, 2, 1, 0], [2, 2, 0], []])
def test_rows_are_the_same_whoever_reads_them(folder: Path, rows: list[int], views: int) -> None:
    crops = crops_of(folder, crops_per_clip=views)
    for step in (0, 1, 2, 3, 1000):
        some, all_rows = crops_of(folder, crops_per_clip=views).read(step, np.array(rows, int)), np.arange(BATCH)
        assert np.array_equal(some.audio.numpy(), read_all(crops, step)[:, rows])
        assert torch.equal(some.clips, crops.read(step, all_rows).clips[rows])


def test_a_crop_starts_at_every_place_equally_often(folder: Path) -> None:
    """1100 crops of each clip: 11 places in 50 samples, 2 in 41, 1 in 40."""
    starts = Counter(source_of(row) for row in read_all(crops_of(folder, batch=6600, by="clip"), 0)[0])
    for clip, places in ((0, 11), (4, 2), (5, 1)):
        there = {start: count for (which, start), count in starts.items() if which == clip}
        assert sorted(there) == list(range(places))
        assert min(there.values()) > 0.6 * 1100 / places
        assert max(there.values()) < 1.4 * 1100 / places


def test_a_short_clip_lies_whole_at_every_place_in_silence_equally_often(folder: Path) -> None:
    """20 samples in a crop of 40: from its very start to its very end, not in the margins."""
    places: Counter[int] = Counter()
    for row in read_all(crops_of(folder, batch=6600, by="clip"), 0)[0]:
        if source_of(row)[0] == 3:
            sounding = np.flatnonzero(row)
            assert row[sounding].tolist() == list(range(4000, 4020))
            places[int(sounding[0]) - MARGIN] += 1
    assert sorted(places) == list(range(21))
    assert min(places.values()) > 0.4 * 1100 / 21
    assert max(places.values()) < 1.8 * 1100 / 21


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_takes_each_clip_as_often_as_it_is_long(folder: Path, epoch: int) -> None:
    crops = crops_of(folder)
    assert crops.crops_per_epoch == EPOCH * BATCH
    assert taken(crops, range(epoch * EPOCH, (epoch + 1) * EPOCH)) == counts(*SLOTS)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_by_clip_an_epoch_takes_each_clip_once(folder: Path, epoch: int) -> None:
    crops = crops_of(folder, batch=3, by="clip")
    assert crops.crops_per_epoch == 6
    assert taken(crops, range(2 * epoch, 2 * epoch + 2)) == counts(1, 1, 1, 1, 1, 1)


def test_batches_that_straddle_epochs_neither_lose_nor_repeat_a_clip(folder: Path) -> None:
    """Twelve batches of 5 are five epochs of 12."""
    assert taken(crops_of(folder, batch=5), range(12)) == counts(*(5 * count for count in SLOTS))


def test_a_batch_may_be_larger_than_an_epoch(folder: Path) -> None:
    crops = crops_of(folder, batch=36)
    for step in (0, 1, 0):
        assert taken(crops, range(step, step + 1)) == counts(*(3 * count for count in SLOTS))


def test_epochs_differ_in_their_order(folder: Path) -> None:
    crops = crops_of(folder, batch=12)
    orders = {tuple(source_of(row)[0] for row in read_all(crops, epoch)[0]) for epoch in range(6)}
    assert len(orders) == 6


def test_a_batch_is_a_function_of_the_seed_and_the_step(folder: Path) -> None:
    forwards, backwards = crops_of(folder), crops_of(folder)
    np.random.seed(0)
    there = {step: read_all(forwards, step) for step in range(8)}
    np.random.seed(1)
    back = {step: read_all(backwards, step) for step in reversed(range(8))}
    assert all(np.array_equal(there[step], back[step]) for step in range(8))
    assert np.array_equal(read_all(crops_of(folder), 5), there[5])
    assert len({batch.tobytes() for batch in there.values()}) == 8
    assert not np.array_equal(read_all(crops_of(folder, seed=1), 0), there[0])


def test_a_step_far_away_is_a_batch_like_any_other(folder: Path) -> None:
    step = 3 * 10**9
    assert taken(crops_of(folder, seed=2**40), range(step, step + EPOCH)) == counts(*SLOTS)


def test_many_threads_read_what_one_does(folder: Path) -> None:
    """Of a pack so small that each batch is several epochs, which are put in order again and again."""
    alone, shared = crops_of(folder, batch=30, crops_per_clip=2), crops_of(folder, batch=30, crops_per_clip=2)
    steps = np.random.default_rng(0).permutation(np.arange(200) % 50).tolist()
    expected = {step: read_all(alone, step) for step in range(50)}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns at every place in the code
    try:
        with ThreadPoolExecutor(8) as pool:
            for step, batch in zip(steps, pool.map(lambda step: read_all(shared, step), steps), strict=True):
                assert np.array_equal(batch, expected[step])
    finally:
        sys.setswitchinterval(interval)


def test_an_epoch_is_put_in_order_once_however_many_threads_ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a large pack takes a second and tens of megabytes."""
    orders: list[int] = []
    default_rng = np.random.default_rng

    def slow(seed: list[int]) -> np.random.Generator:
        if seed[1] == 0:
            orders.append(seed[2])
            time.sleep(0.05)
        return default_rng(seed)

    monkeypatch.setattr(np.random, "default_rng", slow)
    crops = crops_of(folder, batch=1, by="clip")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda step: read_all(crops, step), range(6)))
    assert orders == [0]


def test_two_views_are_independent_crops_of_the_same_clip(folder: Path) -> None:
    first, second = read_all(crops_of(folder, batch=6600, by="clip", crops_per_clip=2), 0)
    pairs = [(*source_of(a), *source_of(b)) for a, b in zip(first, second, strict=True)]
    assert all(clip == other for clip, _, other, _ in pairs)
    starts = Counter((here, there) for clip, here, _, there in pairs if clip == 4)  # 41 samples: at 0 or at 1
    assert sorted(starts) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert min(starts.values()) > 0.8 * 1100 / 4
    wide = np.array([(here, there) for clip, here, _, there in pairs if clip == 2])
    assert abs(np.corrcoef(wide.T)[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"bird": 2}, (2, 6, 5, 1, 1, 1)),
        ({"bird": 3, "speech": 2.0, "wind": 0}, (3, 9, 10, 2, 0, 1)),
        ({"bird": 0, "wind": 0}, (0, 0, 5, 1, 0, 1)),
        ({"": 0}, (1, 3, 5, 1, 1, 0)),
        ({"": 4, "speech": 0.0}, (1, 3, 0, 0, 1, 4)),
    ],
)
def test_whole_weights_multiply_the_crops_of_each_epoch(
    folder: Path, weights: dict[str, float], expected: tuple[int, ...]
) -> None:
    total = sum(expected)
    crops = crops_of(folder, batch=total, column="domain", weights=weights)
    assert crops.crops_per_epoch == total
    for epoch in range(20):
        assert taken(crops, range(epoch, epoch + 1)) == counts(*expected)


@pytest.mark.parametrize("by", ["duration", "clip"])
@pytest.mark.parametrize(
    "weights",
    [
        {"bird": 0.5},
        {"bird": 0.3, "speech": 1.7, "wind": 0.05},
        {"bird": 0.01, "speech": 0.02, "wind": 0.01, "": 0.005},  # less than one crop in all
        {"speech": 1 / 3, "": 0},
    ],
)
def test_fractions_are_within_one_in_each_epoch_and_exact_in_the_long_run(
    folder: Path, weights: dict[str, float], by: str
) -> None:
    slots = SLOTS if by == "duration" else (1,) * 6
    rates = np.array([count * weights.get(domain, 1.0) for count, domain in zip(slots, DOMAINS, strict=True)])
    total = max(1, round(rates.sum()))
    share = rates / rates.sum() * total
    crops = crops_of(folder, batch=total, by=by, column="domain", weights=weights)
    assert crops.crops_per_epoch == total
    epochs = np.zeros((800, 6))
    for epoch in range(len(epochs)):
        for clip, count in taken(crops, range(epoch, epoch + 1)).items():
            epochs[epoch, clip] = count
    assert (np.abs(epochs - share) < 1).all()
    np.testing.assert_allclose(epochs.mean(0), share, atol=0.06)  # a standard deviation is at most 0.018


class Clips:
    """A pack of silence, of clips of any number and length."""

    def __init__(self, samples: list[int], domains: list[str]) -> None:
        self.samples, self.domains = np.array(samples), np.array(domains)
        self.cuts: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return len(self.samples)

    def column(self, _: str) -> tuple[list[str], np.ndarray]:
        values, which = np.unique(self.domains, return_inverse=True)
        return values.tolist(), which

    def cut(self, clip: int, first: int, last: int) -> np.ndarray:
        self.cuts.append((clip, first, last))
        return np.zeros(last - first, np.int16)


def test_weight_0_means_never_whatever_the_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of fractions miss the whole number at the end of an epoch by a few bits, above or below."""
    for clips in range(1, 60):
        for weight in (0.1, 0.3, 0.7, 1 / 3, 1.1):
            domains = ["some"] * clips + ["none"] * 3
            pack = Clips([CROP] * len(domains), domains)
            monkeypatch.setattr(crops_module, "Pack", lambda _, pack=pack: pack)
            crops = crops_of(Path(), column="domain", weights={"some": weight, "none": 0})
            for draw in (0.0, 1e-17, 1e-16, 1 - 1e-16):
                edges = np.floor(crops._ends + draw)
                assert edges[-1] >= crops.crops_per_epoch
                assert (np.diff(edges) >= 0).all()
                assert (np.diff(edges)[clips - 1 :] == 0).all()


def test_of_very_many_clips_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = Clips([CROP] * 70_000, [])
    monkeypatch.setattr(crops_module, "Pack", lambda _: clips)
    read_all(crops_of(Path(), batch=70_000), 0)
    assert sorted(clip for clip, _, _ in clips.cuts) == list(range(70_000))


def test_no_two_batches_have_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = Clips([10**9], [])
    monkeypatch.setattr(crops_module, "Pack", lambda _: clips)
    crops = Crops(Path(), 15200, 512, 2, 0, SamplingConfig(crops_per_clip=2))
    for step in range(200):
        read_all(crops, step)
    assert len(set(clips.cuts)) > 790  # of 800


def test_places_beyond_32_bits_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of six days at 16 kHz."""
    clips = Clips([2**33], [""])
    monkeypatch.setattr(crops_module, "Pack", lambda _: clips)
    crops = Crops(Path(), 15200, 512, 64, 0)
    assert crops.crops_per_epoch == round(2**33 / 15200)
    crops.read(5000, np.arange(64))
    firsts = np.array([first for _, first, _ in clips.cuts])
    assert all(last - first == 15200 + 2 * 512 for _, first, last in clips.cuts)
    assert firsts.min() >= 0
    assert firsts.min() < 2**31
    assert firsts.max() > 2**32


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"column": "domain", "weights": {"birds": 2, "bird": 3}}, "no 'birds'; it has '', 'bird', 'speech', 'wind'"),
        ({"column": "domain", "weights": {"y": 1, "x": 1}}, "column domain has no 'x', 'y'"),
        ({"column": "domain", "weights": {"": 0, "bird": 0, "speech": 0, "wind": 0}}, "leave no clip to train on"),
        ({"column": "domain", "weights": {"bird": 1e12}}, r"epoch would be of 4e\+12 crops.*lower sampling.weights"),
        ({"column": "domain", "weights": {"bird": 1.7e308}}, "lower sampling.weights"),
    ],
)
def test_weights_that_do_not_fit_the_pack_are_refused(folder: Path, sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message), np.errstate(over="ignore"):
        crops_of(folder, **sampling)


def test_an_unknown_column_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(PackError, match="has no column 'domian'; its columns are domain, licence"):
        crops_of(folder, column="domian", weights={"bird": 2})


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"by": "second"}, "sampling.by: 'second' is unknown; known are duration, clip"),
        ({"crops_per_clip": 3}, "sampling.crops_per_clip: must be 1 or 2, got 3"),
        ({"crops_per_clip": 0}, "sampling.crops_per_clip: must be 1 or 2, got 0"),
        ({"column": "domain"}, "column and weights go together, got column 'domain' and weights {}"),
        ({"weights": {"bird": 2}}, "column and weights go together, got column '' and weights {'bird': 2}"),
        ({"column": "domain", "weights": {"bird": -0.5}}, "weights.bird: expected a number of at least 0, got -0.5"),
        ({"column": "domain", "weights": {"bird": "2"}}, "weights.bird: expected a number of at least 0, got '2'"),
        ({"column": "domain", "weights": {"bird": True}}, "weights.bird: expected a number of at least 0, got True"),
        ({"column": "domain", "weights": {"bird": float("nan")}}, "expected a number of at least 0, got nan"),
        ({"column": "domain", "weights": {"bird": float("inf")}}, "expected a number of at least 0, got inf"),
        ({"column": "domain", "weights": {1: 2}}, "the values of a column are text, got 1; put it in quotes"),
    ],
)
def test_sampling_without_sense_is_refused(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplingConfig(**sampling)


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a folder made by `python -m training pack`"):
        crops_of(tmp_path)
