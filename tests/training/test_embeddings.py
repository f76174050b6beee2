"""Embeddings of a task: in order, cut and padded, and each clip embedded once, whatever happens in between."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import read_audio
from tests.training.tasks import RATE, SIMPLE, describe, make_module, make_task
from training.evaluate import embeddings
from training.evaluate.embeddings import embed_task, read_clip
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import SceneTask, TaskError, read_task

BREAKS = SIMPLE.replace(
    "    loudest",
    "    from pathlib import Path\n"
    "    if len(CALLS) == 3 and Path(__file__).with_name('break').exists():\n"
    "        raise KeyboardInterrupt\n"
    "    loudest",
)


class Place:
    """A task of three splits of four clips, a module, and how often it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = make_task(folder / "task", "trainvaltest", clips=4, seconds=0.1), folder / "cache"
        self.module = f"simple_{folder.name}".replace("-", "_")
        make_module(folder, self.module, BREAKS)

    def task(self) -> SceneTask:
        task = read_task(self.folder, RATE)
        assert task is not None
        return task

    def model(self) -> HearModel:
        return HearModel(ModelSpec("simple", self.module))

    def embed(self, cached: bool = True) -> dict[str, np.ndarray]:
        return embed_task(self.task(), self.model(), self.cache if cached else None)

    def calls(self) -> list[int]:
        """Clips of each call since the last time."""
        calls = importlib.import_module(self.module).CALLS
        found = list(calls)
        calls.clear()
        return found

    @property
    def file(self) -> Path:
        (found,) = self.cache.iterdir()
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embeddings, "BATCH_SECONDS", 0.5)  # five clips
    return Place(tmp_path)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    assert list(a) == list(b)
    return all(np.array_equal(a[split], b[split]) for split in a)


def test_rows_are_in_the_order_of_the_files_and_computed_by_hand(place: Place) -> None:
    found = place.embed(cached=False)
    assert place.calls() == [5, 5, 2]
    assert list(found) == ["train", "valid", "test"]
    for split, paths in place.task().splits.items():
        assert found[split].dtype == np.float32
        clips = np.stack([read_audio(path, RATE) for path in paths])
        scaled = (clips / np.abs(clips).max(1, keepdims=True)).mean(1)
        expected = np.stack([clips.mean(1), clips.std(1), scaled], axis=1)
        np.testing.assert_allclose(found[split], expected, atol=1e-6)
        assert len(np.unique(expected[:, 1].round(5))) == 4  # so that an exchange would show


def test_a_clip_is_embedded_once(place: Place) -> None:
    plain = place.embed(cached=False)
    place.calls()
    first = place.embed()
    assert place.calls() == [5, 5, 2]
    assert same(place.embed(), first) and same(first, plain)
    assert place.calls() == []
    assert place.file.name == f"{place.model().digest}.sqlite"


def test_another_task_with_the_same_clips_finds_them(place: Place) -> None:
    first = place.embed()
    place.calls()
    shutil.copytree(place.folder, place.folder.with_name("copy"))
    place.folder = place.folder.with_name("copy")
    describe(place.folder, splits=["test", "valid", "train"])
    found = place.embed()
    assert list(found) == ["test", "valid", "train"]
    assert same({split: found[split] for split in first}, first)
    assert place.calls() == []


def test_a_run_that_ended_in_the_middle_is_gone_on_with(place: Place) -> None:
    stop = place.folder.with_name("break")
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        place.embed()
    assert place.calls() == [5, 5, 2]  # the last for nothing
    stop.unlink()
    seen: list[tuple[int, int]] = []
    found = embed_task(
        place.task(), place.model(), place.cache, lambda done, everything: seen.append((done, everything))
    )
    assert place.calls() == [2]
    assert seen == [(10, 12), (12, 12)]
    assert same(found, place.embed(cached=False))


def test_what_is_reported(place: Place) -> None:
    seen: list[tuple[int, int]] = []
    embed_task(place.task(), place.model(), None, lambda done, everything: seen.append((done, everything)))
    assert seen == [(0, 12), (5, 12), (10, 12), (12, 12)]


def test_a_clip_that_changed_is_embedded_anew_and_no_other(place: Place) -> None:
    first = place.embed()
    place.calls()
    path = place.folder / "16000" / "valid" / "02.flac"
    soundfile.write(path, soundfile.read(path)[0][::-1] * 0.5, RATE)
    second = place.embed()
    assert place.calls() == [1]
    changed = [
        (split, row)
        for split in first
        for row in range(4)
        if not np.array_equal(*(x[split][row] for x in (first, second)))
    ]
    assert changed == [("valid", 2)]
    assert same(second, place.embed(cached=False))


def test_another_length_is_another_embedding(place: Place) -> None:
    first = place.embed()
    describe(place.folder, sample_duration=0.05)
    second = place.embed()
    assert not np.array_equal(first["train"], second["train"])
    assert same(second, place.embed(cached=False))
    place.calls()
    assert same(place.embed(), second)
    describe(place.folder, sample_duration=0.1)
    assert same(place.embed(), first)
    assert place.calls() == []


def test_other_models_have_other_files(place: Place) -> None:
    place.embed()
    place.calls()
    louder = HearModel(ModelSpec("simple", place.module, "", {"scale": 2.0}))
    found = embed_task(place.task(), louder, place.cache)
    assert place.calls() == [5, 5, 2]
    assert len(list(place.cache.iterdir())) == 2
    np.testing.assert_allclose(found["test"], 2 * place.embed()["test"], rtol=1e-6)


def spoil_start(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


def spoil_end(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def cut_vectors(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE embeddings SET vector = substr(vector, 1, 4)")


def rename_column(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base, base:
        base.execute("ALTER TABLE embeddings RENAME COLUMN vector TO tensor")


@pytest.mark.parametrize("spoil", [spoil_start, spoil_end, cut_vectors, rename_column])
def test_a_damaged_cache_is_named(place: Place, spoil: object) -> None:
    first = place.embed()
    path = place.file
    assert callable(spoil)
    spoil(path)
    with pytest.raises(TaskError, match=r"\.sqlite: cannot be used as a cache \(.*\); delete it") as caught:
        place.embed()
    assert str(path) in str(caught.value)
    path.unlink()
    assert same(place.embed(), first)


def test_a_cache_that_cannot_be_written_is_named(place: Place) -> None:
    place.embed()
    with closing(sqlite3.connect(place.file)) as base, base:
        base.execute("CREATE TRIGGER full BEFORE INSERT ON embeddings BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    place.embed()  # nothing to write
    describe(place.folder, sample_duration=0.05)
    with pytest.raises(TaskError, match=r"\.sqlite: cannot be used as a cache \(disk is full\)"):
        place.embed()


def test_an_empty_file_is_an_empty_cache(place: Place) -> None:
    place.cache.mkdir()
    (place.cache / f"{place.model().digest}.sqlite").touch()
    assert same(place.embed(), place.embed(cached=False))


def test_what_is_not_a_number_is_named_and_not_kept(place: Place) -> None:
    silent = place.folder / "16000" / "valid" / "03.flac"
    clip, _ = soundfile.read(silent)
    soundfile.write(silent, np.zeros(len(clip)), RATE)
    for cached in (True, False, True):
        with pytest.raises(TaskError, match=r"^simple: its embedding of .*valid/03\.flac is not finite"):
            place.embed(cached)
    place.calls()
    soundfile.write(silent, clip, RATE)
    assert same(place.embed(), place.embed(cached=False))


def test_files_that_cannot_be_embedded_are_named(place: Place) -> None:
    path = place.folder / "16000" / "test" / "01.flac"
    clip, _ = soundfile.read(path)
    for cached in (True, False):
        soundfile.write(path, clip, 22050)
        with pytest.raises(TaskError, match=r"test/01\.flac: its sample rate is 22050 Hz, the model takes 16000 Hz"):
            place.embed(cached)
        path.write_bytes(b"fLaC, but not really")
        with pytest.raises(TaskError, match=r"test/01\.flac: cannot be read \("):
            place.embed(cached)
        soundfile.write(path, np.zeros(0), RATE, format="WAV")
        with pytest.raises(TaskError, match=r"test/01\.flac: cannot be read \(.*no samples"):
            place.embed(cached)


def test_a_clip_is_cut_at_its_end_or_padded_there(tmp_path: Path) -> None:
    stereo = np.array([[0.5, 0.25], [-0.5, 0.0], [0.125, 0.125]])
    soundfile.write(tmp_path / "a.wav", stereo, RATE, "FLOAT")
    for samples, expected in ((5, [0.375, -0.25, 0.125, 0, 0]), (3, [0.375, -0.25, 0.125]), (2, [0.375, -0.25])):
        clip = read_clip(tmp_path / "a.wav", RATE, samples)
        assert clip.dtype == np.float32 and clip.tolist() == expected


def test_no_clip_is_too_long_for_a_batch(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BATCH_SECONDS", 0.01)
    place.embed(cached=False)
    assert place.calls() == [1] * 12


TOGETHER = """
import json, os, sys, time
from pathlib import Path
from training.evaluate import embeddings
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import read_task

here, module = Path(sys.argv[1]), sys.argv[2]
child = os.fork()  # the second need not import it all again
mine, other = ("a", "b") if child else ("b", "a")
embeddings.BATCH_SECONDS = 0.1  # one clip, and one transaction
task, model = read_task(here / "task", 16000), HearModel(ModelSpec(mine, module))
(here / mine).touch()
while not (here / other).exists():
    time.sleep(0.001)
found = embeddings.embed_task(task, model, here / "cache")
found = {split: rows.tolist() for split, rows in found.items()}
(here / f"{mine}.json").write_text(json.dumps([model.digest, found]))
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""


def test_two_processes_share_a_cache(place: Place, root: Path) -> None:
    """They begin at the same moment, with the same file that is not there yet."""
    here = place.folder.parent
    shutil.rmtree(place.folder)
    make_task(place.folder, "trainvaltest", clips=20, seconds=0.1)
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{here}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", TOGETHER, here, place.module],
        cwd=here, env={**environment, "PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (digest, found), other = (json.loads((here / f"{mine}.json").read_text()) for mine in "ab")
    assert [digest, found] == other
    assert place.model().digest == digest
    with closing(sqlite3.connect(place.file)) as base:
        assert base.execute("SELECT count(*) FROM embeddings").fetchone() == (60,)
    kept = place.embed()
    assert place.calls() == []
    assert {split: rows.tolist() for split, rows in kept.items()} == found
