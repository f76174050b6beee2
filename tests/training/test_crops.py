"""Crops of clips whose every sample says which clip and which place it comes from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpus.crops import Crops, describe
from training.corpus.pack import PackError, pack

RATE = 8000
CROP, MARGIN, BATCH = 40, 7, 4
LENGTHS = (50, 110, 230, 20, 41)
SLOTS = (1, 3, 6, 1, 1)  # crops of each clip in an epoch: its length in crops, rounded, at least one
EPOCH = 3  # batches: 12 crops


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clip c holds the samples 1000 (c + 1), 1000 (c + 1) + 1, ...; in two shards."""
    audio = tmp_path_factory.mktemp("ramps")
    for clip, length in enumerate(LENGTHS):
        ramp = np.arange(length, dtype=np.int16) + np.int16(1000 * (clip + 1))
        soundfile.write(audio / f"{clip}.wav", ramp, RATE, subtype="PCM_16")
    pack([audio], audio / "pack", RATE, workers=1, shard_samples=200)
    return audio / "pack"


def copy_of(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def crops_of(folder: Path, batch: int = BATCH, seed: int = 0) -> Crops:
    return Crops(folder, CROP, MARGIN, batch, seed)


def source_of(row: np.ndarray) -> tuple[int, int]:
    """Clip of a crop, and the place in the clip at which the crop (without its margin) starts."""
    place = int(np.flatnonzero(row)[0])
    clip, sample = divmod(int(row[place]), 1000)
    return clip - 1, sample - place + MARGIN


def test_a_batch_has_a_crop_and_two_margins_in_each_row(folder: Path) -> None:
    batch = crops_of(folder)[0]
    assert batch.shape == (BATCH, MARGIN + CROP + MARGIN)
    assert batch.dtype == np.int16


def test_every_crop_and_its_margins_are_what_the_clip_holds_there(folder: Path) -> None:
    crops = crops_of(folder)
    for step in range(10 * EPOCH):
        for row in crops[step]:
            clip, start = source_of(row)
            expected = np.zeros(len(row), np.int16)
            for k in range(len(row)):
                source = start - MARGIN + k
                if 0 <= source < LENGTHS[clip]:
                    expected[k] = 1000 * (clip + 1) + source
            assert np.array_equal(row, expected)
            if LENGTHS[clip] >= CROP:
                assert 0 <= start <= LENGTHS[clip] - CROP
                assert (row[MARGIN:-MARGIN] != 0).all()


def test_a_crop_may_start_at_any_place(folder: Path) -> None:
    crops = crops_of(folder)
    starts: dict[int, set[int]] = {clip: set() for clip in range(len(LENGTHS))}
    for step in range(60 * EPOCH):
        for row in crops[step]:
            clip, start = source_of(row)
            starts[clip].add(start)
    assert starts[0] == set(range(11))  # 50 samples, crops of 40
    assert starts[4] == {0, 1}  # 41 samples


def test_a_short_clip_lies_whole_at_a_random_place_in_silence(folder: Path) -> None:
    crops = crops_of(folder)
    places = set()
    for step in range(100 * EPOCH):
        for row in crops[step]:
            if source_of(row)[0] == 3:
                sounding = np.flatnonzero(row)
                assert row[sounding].tolist() == list(range(4000, 4020))
                places.add(int(sounding[0]) - MARGIN)
    assert places == set(range(21))  # 20 samples in a crop of 40: from its very start to its very end


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_takes_each_clip_as_often_as_it_is_long(folder: Path, epoch: int) -> None:
    crops = crops_of(folder)
    assert crops.crops_per_epoch == EPOCH * BATCH
    taken = Counter(source_of(row)[0] for step in range(epoch * EPOCH, (epoch + 1) * EPOCH) for row in crops[step])
    assert taken == Counter(dict(enumerate(SLOTS)))


def test_batches_that_straddle_epochs_neither_lose_nor_repeat_a_clip(folder: Path) -> None:
    """Twelve batches of 5 are five epochs of 12."""
    crops = crops_of(folder, batch=5)
    taken = Counter(source_of(row)[0] for step in range(12) for row in crops[step])
    assert taken == Counter({clip: 5 * count for clip, count in enumerate(SLOTS)})


def test_a_batch_may_be_larger_than_an_epoch(folder: Path) -> None:
    taken = Counter(source_of(row)[0] for row in crops_of(folder, batch=36)[0])
    assert taken == Counter({clip: 3 * count for clip, count in enumerate(SLOTS)})


def test_epochs_differ_in_their_order(folder: Path) -> None:
    crops = crops_of(folder)
    orders = {
        tuple(source_of(row)[0] for step in range(epoch * EPOCH, (epoch + 1) * EPOCH) for row in crops[step])
        for epoch in range(5)
    }
    assert len(orders) == 5


def test_a_batch_does_not_depend_on_what_was_read_before(folder: Path) -> None:
    forwards, backwards = crops_of(folder), crops_of(folder)
    np.random.seed(0)
    there = {step: forwards[step] for step in range(8)}
    np.random.seed(1)
    back = {step: backwards[step] for step in reversed(range(8))}
    assert all(np.array_equal(there[step], back[step]) for step in range(8))
    assert np.array_equal(crops_of(folder)[5], there[5])
    assert len({batch.tobytes() for batch in there.values()}) == 8


def test_another_seed_gives_other_batches(folder: Path) -> None:
    assert not np.array_equal(crops_of(folder, seed=0)[0], crops_of(folder, seed=1)[0])


def test_hours_are_those_of_all_clips(folder: Path) -> None:
    assert crops_of(folder).hours == pytest.approx(sum(LENGTHS) / RATE / 3600)


def test_a_description_adds_up_the_clips_of_each_source_and_licence() -> None:
    index = [
        {"samples": "14400000", "source": "birds", "licence": "CC0-1.0"},
        {"samples": "7200000", "source": "birds", "licence": "CC0-1.0"},
        {"samples": "3600000", "source": "birds", "licence": "CC-BY-4.0"},
        {"samples": "1800000", "source": "cars", "licence": "CC0-1.0"},
    ]
    assert describe(index, sample_rate=8000) == {  # 28.8 million samples an hour
        "clips": 4,
        "hours": 0.9375,
        "sources": [
            {"source": "birds", "licence": "CC-BY-4.0", "clips": 1, "hours": 0.125},
            {"source": "birds", "licence": "CC0-1.0", "clips": 2, "hours": 0.75},
            {"source": "cars", "licence": "CC0-1.0", "clips": 1, "hours": 0.0625},
        ],
    }


def test_a_description_of_clips_without_a_manifest_has_one_nameless_source(folder: Path) -> None:
    about = describe(crops_of(folder).index, RATE)
    assert about["clips"] == 5
    assert about["hours"] == pytest.approx(sum(LENGTHS) / RATE / 3600)
    assert [(source["source"], source["licence"], source["clips"]) for source in about["sources"]] == [("", "", 5)]


def test_a_folder_that_is_no_pack_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PackError, match="not a folder made by `python -m training pack`"):
            crops_of(folder)
    (tmp_path / "pack.json").write_text("{")
    with pytest.raises(PackError, match="not a folder made by `python -m training pack`"):
        crops_of(tmp_path)


def test_a_pack_without_its_index_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = copy_of(folder, tmp_path / "pack")
    (broken / "index.csv").unlink()
    with pytest.raises(PackError, match=r"index\.csv"):
        crops_of(broken)


def test_another_version_of_the_format_is_refused(folder: Path, tmp_path: Path) -> None:
    other = copy_of(folder, tmp_path / "pack")
    about = json.loads((other / "pack.json").read_text())
    (other / "pack.json").write_text(json.dumps({**about, "format_version": 99}))
    with pytest.raises(PackError, match="pack format 99, this version reads 1; pack again"):
        crops_of(other)


def test_a_truncated_or_missing_shard_is_refused(folder: Path, tmp_path: Path) -> None:
    broken = copy_of(folder, tmp_path / "pack")
    shard = broken / "audio-00001.i16"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(PackError, match=r"audio-00001\.i16: missing or not \d+ bytes long"):
        crops_of(broken)
    shard.unlink()
    with pytest.raises(PackError, match=r"audio-00001\.i16: missing"):
        crops_of(broken)
