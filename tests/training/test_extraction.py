"""openSMILE's values of the crops of a real pack: what the table holds, and what is left when it is killed or wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from selfie_hear.config import MissingExtraError
from tests.training.processes import forked
from training.corpus import extraction
from training.corpus.extraction import ExtractionProgress, extract, spread
from training.corpus.functionals import LICENCE, Functionals
from training.corpus.shards import Pack
from training.corpus.targets import TargetsError

CROP = 15200  # samples
COUNTS = (1, 1, 2, 2, 3, 3)  # of clips of 0.5, 1.0, ... 3.0 s
FILES = ("crops.parquet", "dimensions.parquet", "targets.json", "values.npy")
BRIEF: dict[str, Any] = {"crop_seconds": 0.1, "crops_per_clip": 2, "workers": 1, "part": 3}  # fast, in four parts


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def crops_of(folder: Path) -> list[tuple[int, int]]:
    return [(row["clip"], row["start"]) for row in pq.read_table(folder / "crops.parquet").to_pylist()]


def heard(pack: Pack, clip: int, start: int) -> np.ndarray:
    """The samples of a crop, one by one."""
    whole = pack.cut(clip, 0, int(pack.samples[clip]))
    inside = range(len(whole))
    return np.array([whole[at] if at in inside else 0 for at in range(start, start + CROP)], np.int16)


# What is written


def test_the_files_of_a_table(packed: Path, targets: Path) -> None:
    assert names_in(targets) == sorted(FILES)
    assert names_in(targets.parent) == [targets.name]
    about = json.loads((targets / "targets.json").read_text())
    digests = {name: sha256((targets / name).read_bytes()).hexdigest() for name in FILES if name != "targets.json"}
    assert about.pop("sha256") == digests
    assert about == {
        "format_version": 1,
        "pack": sha256((packed / "pack.json").read_bytes()).hexdigest(),
        "sample_rate": 16000,
        "crop": CROP,
        "crops_per_clip": None,
        "seed": 0,
        "part": 5,
        "features": "ComParE_2016 functionals",
        "size": 6373,
        "opensmile": Functionals(16000).version,
        "licence": LICENCE,
        "crops": 12,
    }


def test_each_clip_has_as_many_crops_as_it_is_long_and_they_are_within_it(packed: Path, targets: Path) -> None:
    crops, samples = crops_of(targets), Pack(packed).samples
    assert Counter(clip for clip, _ in crops) == Counter(dict(enumerate(COUNTS)))
    assert crops == sorted(crops)
    for clip, start in crops:
        room = int(samples[clip]) - CROP
        assert min(0, room) <= start <= max(0, room)


def test_values_are_those_of_the_very_crops_standardised_over_the_table(packed: Path, targets: Path) -> None:
    functionals, pack = Functionals(16000), Pack(packed)
    raw = np.stack([functionals(heard(pack, *crop)) for crop in crops_of(targets)]).astype(np.float64)
    assert raw.shape == (12, 6373) and np.isfinite(raw).all()
    mean, std = raw.mean(0), raw.std(0)
    varies = raw.min(0) < raw.max(0)
    assert 5000 < varies.sum() < 6373
    expected = np.where(varies, (raw - mean) / np.where(varies, std, 1.0), 0.0)
    values = np.load(targets / "values.npy")
    assert values.dtype == np.float16
    np.testing.assert_allclose(values, expected, rtol=2**-10, atol=1e-6)

    dimensions = pq.read_table(targets / "dimensions.parquet")
    assert dimensions["name"].to_pylist() == functionals.names
    np.testing.assert_allclose(dimensions["mean"].to_numpy(), mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dimensions["std"].to_numpy(), np.where(varies, std, 0.0), rtol=1e-6)


def test_functionals_are_a_function_of_the_samples_alone() -> None:
    functionals = Functionals(16000)
    assert len(set(functionals.names)) == 6373
    crops = np.random.default_rng(0).integers(-3000, 3000, (3, 1600)).astype(np.int16)
    crops[1] = 0
    there = [functionals(crop) for crop in crops]
    back = [functionals(crop) for crop in crops[::-1]][::-1]
    assert all(value.shape == (6373,) and value.dtype == np.float32 for value in there)
    assert all(np.array_equal(a, b) for a, b in zip(there, back, strict=True))
    assert np.isfinite(there).all()  # of silence, too
    assert not np.array_equal(there[0], there[2])
    assert np.isnan(functionals(crops[0][:959])).all()
    assert np.isfinite(functionals(crops[0][:960])).all()


def test_values_that_are_not_finite_or_never_vary_become_0(tmp_path: Path) -> None:
    parts = [tmp_path / "0.npy", tmp_path / "1.npy"]
    np.save(parts[0], np.array([[1.0, 5.0, np.nan, 1e12], [3.0, 5.0, 1.0, 0.0]], np.float32))
    np.save(parts[1], np.array([[np.inf, 5.0, 3.0, 0.0]], np.float32))
    extraction._write_values(parts, 3, ["a", "b", "c", "d"], tmp_path)
    found = np.load(tmp_path / "values.npy").tolist()
    low = pytest.approx(-(0.5**0.5), abs=1e-3)
    assert found == [[-1.0, 0.0, 0.0, pytest.approx(2**0.5, abs=1e-3)], [1.0, 0.0, -1.0, low], [0.0, 0.0, 1.0, low]]
    stored = pq.read_table(tmp_path / "dimensions.parquet").to_pydict()
    assert stored["mean"][:3] == [2.0, 5.0, 2.0] and stored["std"][:3] == [1.0, 0.0, 1.0]


# The crops


LENGTHS = np.array([1, 20, 40, 41, 60, 99, 400, 4001])


def test_crops_are_spread_over_each_clip_and_differ() -> None:
    clips, starts = spread(LENGTHS, 40)
    assert np.bincount(clips).tolist() == [1, 1, 1, 1, 2, 2, 10, 100]
    for clip, length in enumerate(LENGTHS):
        mine = starts[clips == clip]
        room = int(length) - 40
        assert min(0, room) <= mine.min() and mine.max() <= max(0, room)
        assert len(set(mine.tolist())) == len(mine)
        assert (np.diff(mine) > 0).all()
    steps = np.diff(starts[clips == 7])
    assert steps.max() < 2 * 3962 / 100 + 1  # no stretch is left out


@pytest.mark.parametrize("count", [1, 3, 25])
def test_a_number_of_crops_is_kept_to_where_a_clip_has_the_places(count: int) -> None:
    clips, starts = spread(LENGTHS, 40, count)
    places = [abs(int(length) - 40) + 1 for length in LENGTHS]
    assert np.bincount(clips).tolist() == [min(count, have) for have in places]
    assert len(set(zip(clips.tolist(), starts.tolist(), strict=True))) == len(clips)


def test_every_place_is_drawn_equally_often_and_the_seed_decides() -> None:
    found: Counter[int] = Counter()
    for seed in range(600):
        found.update(spread(np.array([51]), 40, 4, seed)[1].tolist())
    assert sorted(found) == list(range(12))
    assert min(found.values()) > 130 and max(found.values()) < 270  # 200 each
    again, other = spread(LENGTHS, 40, seed=1), spread(LENGTHS, 40, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(again, spread(LENGTHS, 40, seed=1), strict=True))
    assert not np.array_equal(again[1], other[1])


# In parallel, and after a kill


def die(_: ExtractionProgress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def extract_and_die(data: Path, out: Path) -> None:
    extract(data, out, report=die, **BRIEF)


@pytest.fixture(scope="module")
def clean(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made in one go, by one process."""
    out = tmp_path_factory.mktemp("clean") / "table"
    extract(packed, out, **BRIEF)
    return out


def test_it_does_not_matter_how_many_processes_there_are(packed: Path, clean: Path, tmp_path: Path) -> None:
    seen: list[ExtractionProgress] = []
    assert extract(packed, tmp_path / "table", **{**BRIEF, "workers": 2}, report=seen.append) == 12
    assert seen == [ExtractionProgress(done, 12, done) for done in (3, 6, 9, 12)]
    assert content_of(tmp_path / "table") == content_of(clean)


def interrupt(*_: object) -> None:
    """As Ctrl-C does, also where a shell has told its children to ignore it."""
    raise KeyboardInterrupt


def test_killed_it_goes_on_where_it_stopped(packed: Path, clean: Path, tmp_path: Path) -> None:
    """A real SIGKILL, when the first part is done."""
    out, folder = tmp_path / "table", tmp_path / ".table.extracting"
    process = forked(extract_and_die, packed, out)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    assert names_in(folder) == ["crops.parquet", "lock", "part-000000000.npy", "plan.json"]
    (folder / ".part-000000003.npy.partial-1").write_bytes(b"half")
    before = (folder / "part-000000000.npy").stat().st_mtime_ns
    times: list[int] = []
    seen: list[ExtractionProgress] = []

    def report(now: ExtractionProgress) -> None:
        times.append((folder / "part-000000000.npy").stat().st_mtime_ns)
        assert not list(folder.glob(".part*"))
        seen.append(now)

    assert extract(packed, out, report=report, **BRIEF) == 12
    assert set(times) == {before}
    assert seen == [ExtractionProgress(done, 12, done - 3) for done in (6, 9, 12)]
    assert content_of(out) == content_of(clean)
    assert names_in(tmp_path) == ["table"]


def test_killed_before_it_got_its_name_it_only_gets_its_name(
    packed: Path, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", interrupt)
        extract(packed, tmp_path / "table", **BRIEF)
    seen: list[ExtractionProgress] = []
    extract(packed, tmp_path / "table", **BRIEF, report=seen.append)
    assert seen == []
    assert content_of(tmp_path / "table") == content_of(clean)


# Mistakes


def test_what_was_begun_goes_on_only_with_the_same_settings(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(packed, tmp_path / "table", **BRIEF, report=interrupt)
    with pytest.raises(TargetsError, match=r"was begun with other settings \(crop, seed differ\); repeat those"):
        extract(packed, tmp_path / "table", **{**BRIEF, "crop_seconds": 0.2}, seed=1)
    other = tmp_path / "other"
    shutil.copytree(packed, other)
    (other / "pack.json").write_text((packed / "pack.json").read_text() + "\n")
    with pytest.raises(TargetsError, match=r"was begun with other settings \(pack differ\)"):
        extract(other, tmp_path / "table", **BRIEF)
    shutil.rmtree(tmp_path / ".table.extracting")
    assert extract(packed, tmp_path / "table", **{**BRIEF, "crops_per_clip": 1}) == 6


def test_one_process_at_a_time(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".table.extracting"
    folder.mkdir()
    with FileLock(folder / "lock"), pytest.raises(TargetsError, match="table: another process is extracting it"):
        extract(packed, tmp_path / "table", **BRIEF)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"crop_seconds": 0.05}, "crops of 0.05 s: openSMILE needs at least 0.06 s"),
        ({"crop_seconds": 0.0}, "crops of 0 s: openSMILE needs at least"),
        ({"crop_seconds": -1.0}, "crops of -1 s: openSMILE needs at least"),
        ({"crop_seconds": float("nan")}, "crops of nan s: openSMILE needs at least"),
        ({"crops_per_clip": 0}, "crops_per_clip: must be at least 1, got 0"),
    ],
)
def test_settings_without_sense_are_refused(
    packed: Path, tmp_path: Path, wrong: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TargetsError, match=complaint):
        extract(packed, tmp_path / "table", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_never_overwritten(packed: Path, clean: Path) -> None:
    before = content_of(clean)
    with pytest.raises(TargetsError, match="table: exists already; name a new folder"):
        extract(packed, clean, **BRIEF)
    assert content_of(clean) == before


def test_without_opensmile_the_error_names_the_extra_and_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'selfie_hear\[opensmile\]'.* Research License"):
        Functionals(16000)
