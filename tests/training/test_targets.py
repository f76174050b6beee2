"""The side table as crops of it are read: the very crops, matched to their values, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from training.corpus.crops import Crops, SamplingConfig
from training.corpus.extraction import extract
from training.corpus.functionals import Functionals
from training.corpus.pack import pack
from training.corpus.shards import Pack
from training.corpus.targets import Targets, TargetsError

CROP, MARGIN, BATCH = 15200, 512, 8
EVERYTHING = np.arange(BATCH)


def crops_of(packed: Path, targets: Path | None, seed: int = 0, views: int = 1, by: str = "clip") -> Crops:
    return Crops(packed, CROP, MARGIN, BATCH, seed, SamplingConfig(by=by, crops_per_clip=views), targets)


def table_of(folder: Path) -> list[tuple[int, int]]:
    return [(row["clip"], row["start"]) for row in pq.read_table(folder / "crops.parquet").to_pylist()]


# The very crop


@pytest.mark.parametrize("views", [1, 2])
def test_targets_are_opensmiles_of_the_samples_that_are_heard(packed: Path, targets: Path, views: int) -> None:
    """Without the margins, which are there for the windows of the outer mel frames; short clips in silence, too."""
    batch = crops_of(packed, targets, views=views).read(3, EVERYTHING)
    assert batch.targets.shape == (views, BATCH, 6373) and batch.targets.dtype == torch.float32
    dimensions = pq.read_table(targets / "dimensions.parquet")
    mean, std = (dimensions[name].to_numpy() for name in ("mean", "std"))
    functionals = Functionals(16000)
    assert {0, 5} <= set(batch.clips.tolist())  # the one that is shorter than a crop, and the longest
    for crop, found in zip(batch.audio.flatten(0, 1).numpy(), batch.targets.flatten(0, 1).numpy(), strict=True):
        raw = functionals(crop[MARGIN:-MARGIN]).astype(np.float64)
        expected = np.where(std > 0, (raw - mean) / np.where(std > 0, std, 1.0), 0.0)
        np.testing.assert_allclose(found, expected, rtol=2**-10, atol=1e-6)


def test_every_crop_of_the_table_is_drawn_and_no_other(packed: Path, targets: Path) -> None:
    crops, seen = crops_of(packed, targets), set()
    known = {}
    values = np.load(targets / "values.npy").astype(np.float32)
    for place, (clip, start) in enumerate(table_of(targets)):
        samples = np.zeros(CROP, np.int16)
        whole = crops.pack.cut(clip, max(0, start), min(int(crops.pack.samples[clip]), start + CROP))
        samples[max(0, -start) : max(0, -start) + len(whole)] = whole
        known[clip, samples.tobytes()] = place
    assert len(known) == 12
    for step in range(12):
        batch = crops.read(step, EVERYTHING)
        for row in range(BATCH):
            heard = batch.audio[0, row, MARGIN:-MARGIN].numpy().tobytes()
            place = known[int(batch.clips[row]), heard]
            assert np.array_equal(batch.targets[0, row].numpy(), values[place])
            seen.add(place)
    assert seen == set(range(12))


def test_margins_are_the_real_sound_around_the_crop(packed: Path, targets: Path) -> None:
    batch, whole = crops_of(packed, targets).read(0, EVERYTHING), Pack(packed)
    row = batch.clips.tolist().index(5)
    audio = batch.audio[0, row].numpy()
    clip = whole.cut(5, 0, int(whole.samples[5]))
    places = [start for number, start in table_of(targets) if number == 5]
    padded = np.pad(clip, MARGIN)
    assert any(np.array_equal(audio, padded[start : start + CROP + 2 * MARGIN]) for start in places)


def test_draws_are_of_the_right_clip_and_equally_often(packed: Path, targets: Path) -> None:
    table, known = Targets(targets, Pack(packed), CROP), table_of(targets)
    clips = np.arange(6).repeat(1000)
    places = table.draw(clips, 2, np.random.default_rng(0))
    assert places.shape == (2, 6000)
    assert [known[place][0] for place in places.flatten()] == [*clips, *clips]
    counts = np.bincount(places.flatten())
    share = np.array([2000 / sum(1 for other, _ in known if other == clip) for clip, _ in known])
    assert (np.abs(counts / share - 1) < 0.15).all()
    assert (places[0] != places[1])[clips == 5].mean() == pytest.approx(2 / 3, abs=0.05)  # of three, independently


# A function of the seed and the step


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("rows", [[0], [3, 1], [5, 5, 2], []])
def test_rows_are_the_same_whoever_reads_them(packed: Path, targets: Path, rows: list[int], views: int) -> None:
    for step in (0, 1, 1000):
        some = crops_of(packed, targets, views=views).read(step, np.array(rows, int))
        whole = crops_of(packed, targets, views=views).read(step, EVERYTHING)
        assert torch.equal(some.audio, whole.audio[:, rows])
        assert torch.equal(some.targets, whole.targets[:, rows])
        assert torch.equal(some.clips, whole.clips[rows])


def test_another_step_and_another_seed_are_other_crops(packed: Path, targets: Path) -> None:
    batches = [crops_of(packed, targets, seed).read(step, EVERYTHING) for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({batch.targets.numpy().tobytes() for batch in batches}) == 3


def test_epochs_are_the_same_with_targets_and_without(packed: Path, targets: Path) -> None:
    with_them, without = crops_of(packed, targets, by="duration"), crops_of(packed, None, by="duration")
    assert with_them.crops_per_epoch == without.crops_per_epoch == 12
    for step in range(4):
        assert torch.equal(with_them.read(step, EVERYTHING).clips, without.read(step, EVERYTHING).clips)


@pytest.mark.parametrize("views", [1, 2])
def test_without_a_table_targets_are_empty(packed: Path, views: int) -> None:
    batch = crops_of(packed, None, views=views).read(0, np.array([1, 2, 5]))
    assert batch.targets.shape == (views, 3, 0) and batch.targets.dtype == torch.float32


@pytest.mark.parametrize("table", [True, False])
def test_parts_of_a_batch_are_its_rows_in_order(packed: Path, targets: Path, table: bool) -> None:
    batch = crops_of(packed, targets if table else None, views=2).read(0, EVERYTHING)
    parts = batch.parts(4)
    for value, pieces, dim in zip(batch, zip(*parts, strict=True), (1, 0, 1), strict=True):
        assert torch.equal(torch.cat(pieces, dim), value)
    assert [part.targets.shape for part in parts] == [(2, 2, 6373 if table else 0)] * 4


def test_a_run_says_which_targets_it_learns_from(packed: Path, targets: Path) -> None:
    about = crops_of(packed, targets).describe()
    assert about.pop("targets").keys() == {"features", "crops", "sha256"}
    assert about == crops_of(packed, None).describe() == Pack(packed).describe()


# Mistakes


def test_targets_of_another_pack_are_refused(audio_folder: Path, targets: Path, tmp_path: Path) -> None:
    pack([audio_folder / "5.wav", audio_folder / "4.wav"], tmp_path / "other", 16000, workers=1)
    with pytest.raises(TargetsError, match=r"compare: made from another pack than .*other; make targets of this one"):
        crops_of(tmp_path / "other", targets)


def test_targets_of_crops_of_another_length_are_refused(packed: Path, targets: Path) -> None:
    with pytest.raises(TargetsError, match=r"of crops of 0.95 s, and crop_seconds is 1; train with the same, or make"):
        Targets(targets, Pack(packed), 16000)


def test_a_missing_folder_and_one_that_is_something_else_are_refused(packed: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", packed):
        with pytest.raises(TargetsError, match="not a folder made by `python -m training targets`"):
            crops_of(packed, folder)


def test_a_table_that_is_not_whole_yet_is_refused(packed: Path, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(packed, tmp_path / "table", workers=1, part=1, report=stop)
    with pytest.raises(TargetsError, match="table: begun, but not whole yet; the command that began it goes on"):
        crops_of(packed, tmp_path / "table")


def cut_off(folder: Path) -> None:
    data = (folder / "values.npy").read_bytes()
    (folder / "values.npy").write_bytes(data[: len(data) // 2])


def fewer(folder: Path) -> None:
    np.save(folder / "values.npy", np.load(folder / "values.npy")[:-1])


def of_the_future(folder: Path) -> None:
    about = json.loads((folder / "targets.json").read_text())
    (folder / "targets.json").write_text(json.dumps({**about, "format_version": 2}))


def silent(folder: Path) -> None:
    (folder / "targets.json").write_text('{"format_version": 1, "crop": 15200}')


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut_off, "damaged .*; make the targets again"),
        (fewer, r"damaged, values of \(11, 6373\) for 12 crops of 6373; make the targets again"),
        (of_the_future, "targets format 2, this version reads 1; make the targets again"),
        (silent, "targets.json: damaged, says nothing of features, pack, size"),
        (lambda folder: (folder / "crops.parquet").unlink(), "damaged .*crops.parquet"),
        (lambda folder: (folder / "crops.parquet").write_bytes(b"PAR1"), "damaged"),
        (lambda folder: (folder / "targets.json").write_text("[1]"), "not a folder made by"),
        (lambda folder: (folder / "targets.json").write_text("{"), "not a folder made by"),
    ],
)
def test_a_damaged_table_is_refused(
    packed: Path, targets: Path, tmp_path: Path, damage: Callable[[Path], Any], complaint: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(targets, folder)
    damage(folder)
    with pytest.raises(TargetsError, match=complaint):
        crops_of(packed, folder)
