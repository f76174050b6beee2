"""The cache of embeddings: each clip is embedded once, whatever happens in between."""

from __future__ import annotations

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

from tests.training.places import Place, same
from tests.training.tasks import RATE, describe, make_task
from training.evaluate.embeddings import embed_task
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import TaskError


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
