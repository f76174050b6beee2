"""Crops of clips: what they hold, where they start, and that they are a function of the seed and the step."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.ramps import BATCH, CROP, EPOCH, LENGTHS, MARGIN, Clips, crops_of, pack_ramps, read_all, source_of
from training.corpus import crops as crops_module
from training.corpus.crops import Crops, SamplingConfig
from training.corpus.shards import PackError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_ramps(tmp_path_factory.mktemp("ramps"))


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


def test_two_views_are_independent_crops_of_the_same_clip(folder: Path) -> None:
    first, second = read_all(crops_of(folder, batch=6600, by="clip", crops_per_clip=2), 0)
    pairs = [(*source_of(a), *source_of(b)) for a, b in zip(first, second, strict=True)]
    assert all(clip == other for clip, _, other, _ in pairs)
    starts = Counter((here, there) for clip, here, _, there in pairs if clip == 4)  # 41 samples: at 0 or at 1
    assert sorted(starts) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert min(starts.values()) > 0.8 * 1100 / 4
    wide = np.array([(here, there) for clip, here, _, there in pairs if clip == 2])
    assert abs(np.corrcoef(wide.T)[0, 1]) < 0.1


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


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a folder made by `python -m training pack`"):
        crops_of(tmp_path)
