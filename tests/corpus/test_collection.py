"""Collections: what they hold, that they go on, and what they refuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from filelock import FileLock

from selfie_hear import get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.audio import AudioError, read_audio
from selfie_hear.config import ConfigError
from selfie_hear.corpus import embed_collection
from selfie_hear.embeddings_file import open_embeddings, read_embeddings
from selfie_hear.origin import Origin
from selfie_hear.tables import TableError
from tests.conftest import TINY, noise, tiny_embedder
from tests.corpus.conftest import BAD, LENGTHS, content, embed, rows


def test_rows_of_all_files_that_can_be_read(sounds: Path, whole: Path) -> None:
    table = pd.read_parquet(whole)  # what is no part is passed over
    assert list(table.columns) == ["path", "duration", "digest", "embedding"]
    good = sorted(path for path in sounds.iterdir() if path.name not in BAD)
    assert table["path"].tolist() == [str(path) for path in good]
    model = tiny_embedder(TINY[0])
    for row, path in zip(table.itertuples(), good, strict=True):
        audio = torch.from_numpy(read_audio(path, 16000))
        np.testing.assert_array_equal(row.embedding, get_scene_embeddings([audio], model)[0].numpy())
        assert row.duration == len(audio) / 16000
        assert row.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    errors = pd.concat(pd.read_parquet(path) for path in whole.glob("_errors-*.parquet"))
    reasons = dict(zip(errors["path"], errors["reason"], strict=True))
    assert reasons.keys() == {str(sounds / name) for name in BAD}
    assert "cannot be read as audio" in reasons[str(sounds / BAD[0])]
    assert not any(reason.startswith(str(sounds)) for reason in reasons.values())
    assert sorted(path.name for path in whole.glob("part*")) == [f"part-0000{n}.parquet" for n in range(3)]


def test_timestamps_are_rows(sounds: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out", timestamps=True)
    table = rows(tmp_path / "out").to_pandas()
    assert list(table.columns) == ["path", "duration", "digest", "timestamp_ms", "embedding"]
    model = tiny_embedder(TINY[0])
    for path, group in table.groupby("path"):
        audio = torch.from_numpy(read_audio(str(path), 16000))
        values, times = get_timestamp_embeddings([audio], model)
        np.testing.assert_array_equal(np.stack(group["embedding"]), values[0].numpy())
        np.testing.assert_allclose(group["timestamp_ms"], times[0].numpy())
    assert table["path"].nunique() == len(LENGTHS)


def test_what_comes_in_many_blocks_is_as_if_it_came_at_once(tmp_path: Path) -> None:
    """A minute in blocks of 8 s, between short clips, for both kinds of embedding; the rows keep their order."""
    (tmp_path / "in").mkdir()
    for name, seconds in (("a", 1), ("b", 60), ("c", 1)):
        sound = noise(16000 * seconds).numpy()
        soundfile.write(tmp_path / "in" / f"{name}.wav", np.tile(sound[:, None], 8), 16000)
    model = tiny_embedder(TINY[0])
    audio = [torch.from_numpy(read_audio(tmp_path / "in" / f"{name}.wav", 16000)) for name in "abc"]
    embed(tmp_path / "in", tmp_path / "scenes", workers=1)
    found = read_embeddings(tmp_path / "scenes")
    np.testing.assert_array_equal(found.values, get_scene_embeddings(audio, model).numpy())
    embed(tmp_path / "in", tmp_path / "times", timestamps=True, workers=1)
    found = read_embeddings(tmp_path / "times")
    np.testing.assert_array_equal(found.values, torch.cat(get_timestamp_embeddings(audio, model)[0]).numpy())
    assert [Path(path).stem for path in dict.fromkeys(found.paths)] == ["a", "b", "c"]


def test_workers_and_clips_that_go_together_change_nothing(
    sounds: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed(sounds, tmp_path / "workers", workers=2)
    assert content(tmp_path / "workers") == content(whole)
    monkeypatch.setattr("selfie_hear.corpus.shard.clips_together", lambda _: 4)  # as on an accelerator
    embed(sounds, tmp_path / "together")
    assert content(tmp_path / "together") == content(whole)


def test_float16(sounds: Path, whole: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out", dtype="float16")
    kind = rows(tmp_path / "out").schema.field("embedding").type
    assert (kind.value_type, kind.list_size) == (pa.float16(), open_embeddings(whole).size)
    expected = read_embeddings(whole).values.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "out").values, expected)


def test_finished_shards_are_not_done_again(sounds: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    embed(sounds, out)
    (out / "part-00001.parquet").unlink()
    before = (out / "part-00000.parquet").stat()
    seen: list[tuple[int, int, int]] = []
    done = embed(sounds, out, report=lambda p: seen.append((p.files_done, p.shards_done, p.failed)))
    assert (done.resumed, done.done.files, done.failed) == (True, 9, 2)
    assert seen[0] == (6, 2, 2)  # the bad ones come last
    assert [files for files, *_ in seen] == sorted(files for files, *_ in seen)
    assert (out / "part-00000.parquet").stat() == before
    assert content(out) == content(whole)


def test_the_list_of_files_is_that_of_the_first_call(tmp_path: Path) -> None:
    """One that came later is not in it, one that went is an error."""
    (tmp_path / "in").mkdir()
    for name in "abcd":
        soundfile.write(tmp_path / "in" / f"{name}.wav", noise(900).numpy(), 16000)
    embed(tmp_path / "in", tmp_path / "out", shard_size=2)
    (tmp_path / "out" / "part-00001.parquet").unlink()
    (tmp_path / "in" / "c.wav").rename(tmp_path / "in" / "e.wav")
    done = embed(tmp_path / "in", tmp_path / "out", shard_size=2)
    assert (done.files, done.failed) == (4, 1)
    assert [Path(path).stem for path in rows(tmp_path / "out")["path"].to_pylist()] == ["a", "b", "d"]
    (tmp_path / "in" / "e.wav").rename(tmp_path / "in" / "c.wav")
    (tmp_path / "out" / "part-00001.parquet").unlink()
    assert embed(tmp_path / "in", tmp_path / "out", shard_size=2).failed == 0
    assert not list((tmp_path / "out").glob("_errors*"))


def test_other_models_and_settings_are_refused(sounds: Path, whole: Path) -> None:
    before = content(whole)
    other = tiny_embedder(TINY[0])
    with torch.no_grad():
        next(other.parameters())[0] += 1
    with pytest.raises(TableError, match=r"was begun with model the one given .*, not the one given"):
        embed_collection([str(sounds)], whole, other, Origin.of(other), shard_size=3)
    for options, message in (
        ({"dtype": "float16"}, "values of float32, not float16"),
        ({"shard_size": 4}, "3 files per shard, not 4"),
        ({"timestamps": True}, "scene embeddings, not timestamps"),
    ):
        with pytest.raises(TableError, match=message):
            embed(sounds, whole, **options)
    with pytest.raises(TableError, match=f"the files of {sounds}, not {sounds.parent}"):
        embed(sounds.parent, whole)
    assert content(whole) == before


def test_folders_with_other_things_are_refused(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(TableError, match="holds thesis.txt, but no collection"):
        embed(sounds, tmp_path)
    (tmp_path / "_plan.json").write_text("{}")
    with pytest.raises(TableError, match="not the plan of a collection"):
        embed(sounds, tmp_path)


def test_two_at_once(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / "_lock"), pytest.raises(TableError, match="another process is embedding into it"):
        embed(sounds, tmp_path / "out")


def test_bad_arguments(sounds: Path, tmp_path: Path) -> None:
    for options in ({"dtype": "int8"}, {"engine": "abacus"}, {"shard_size": 0}, {"workers": -1}):
        with pytest.raises(ConfigError):
            embed(sounds, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(AudioError, match="no such file"):
        embed(tmp_path / "nowhere", tmp_path / "out")
    embed(sounds, tmp_path / "out")  # what is left of the attempt does not stand in the way


def test_unfinished_collections_are_not_read(sounds: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out")
    (tmp_path / "out" / "part-00002.parquet").unlink()
    with pytest.raises(TableError, match="1 of 3 shards are missing"):
        open_embeddings(tmp_path / "out")


def test_the_rows_of_a_long_recording_are_not_held(tmp_path: Path) -> None:
    """Six minutes, written a row group at a time."""
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 8000, 1) as file:
        for _ in range(6):
            file.write(noise(8000 * 60).numpy())
    embed(tmp_path / "long.flac", tmp_path / "out", timestamps=True, workers=1)
    part = pq.ParquetFile(tmp_path / "out" / "part-00000.parquet").metadata
    assert part.num_rows == 9_000
    assert max(part.row_group(n).num_rows for n in range(part.num_row_groups)) == 4096


def test_the_plan_says_what_was_done(sounds: Path, whole: Path) -> None:
    plan = json.loads((whole / "_plan.json").read_text())
    assert (plan["files"], plan["shards"], plan["settings"]["shard_size"]) == (9, 3, 3)
    assert plan["settings"]["sources"] == [str(sounds)]
    assert open_embeddings(whole).origin == Origin.of(tiny_embedder(TINY[0]))
