"""What a pack rejects: listed with its reason, and no harm to the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.training.disks import unreadable
from tests.training.packs import RATE, clips_of, content_of, index_of, names_in, of_clips, ramp, ramps, rejected_of
from tests.training.sources import table_of, tar_of
from training.corpus.pack import pack
from training.corpus.shards import PackError, shard_name


def mixture(folder: Path) -> list[Path]:
    """Sources of every kind, with something wrong in each."""
    clips = ramps(folder / "clips", 20)
    (clips / "bad.wav").write_bytes(b"this is not audio at all")
    soundfile.write(clips / "none.wav", np.zeros(0), RATE)
    (clips / "nul.flac").touch()
    sound = (clips / "003.wav").read_bytes()
    inside = {"a.wav": sound, "a.json": b'{"licence": "x"}', "b.wav": b"no audio", "c.json": b"{"}
    tar_of(folder / "s.tar", inside)
    (folder / "cut.tar").write_bytes((folder / "s.tar").read_bytes()[:1100])
    (folder / "empty.tar").write_bytes(bytes(10240))
    audio = [{"bytes": sound, "path": "x.wav"}, {"bytes": b"no audio", "path": "y.wav"}, {"bytes": None, "path": None}]
    table_of(folder / "t.parquet", audio, n=[1, 2, 3])
    pq.write_table(pa.table({"n": [1, 2, 3]}), folder / "silent.parquet")
    (folder / "list.csv").write_text("path,licence\nclips/000.wav,CC0-1.0\ngone.wav,CC0-1.0\n")
    names = ("list.csv", "clips", "s.tar", "cut.tar", "empty.tar", "t.parquet", "silent.parquet")
    return [folder / name for name in names]


def test_what_is_rejected_is_listed_with_the_reason_whatever_it_was_in(tmp_path: Path) -> None:
    sources = mixture(tmp_path)
    out = tmp_path / "out"
    done = pack(sources, out, RATE, workers=1, shard_bytes=of_clips(4))
    assert rejected_of(out) == {
        f"{tmp_path}/gone.wav": "no such file",
        f"{tmp_path}/clips/bad.wav": "cannot be read as audio (Format not recognised.)",
        f"{tmp_path}/clips/none.wav": "holds no samples",
        f"{tmp_path}/clips/nul.flac": "cannot be read as audio (Format not recognised.)",
        f"{tmp_path}/s.tar/b.wav": "cannot be read as audio (Format not recognised.)",
        f"{tmp_path}/s.tar/c.json": "not JSON (Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1)); its audio is packed without it",
        f"{tmp_path}/cut.tar": "cannot be read to its end (damaged or cut off at byte 1024)",
        f"{tmp_path}/empty.tar": "holds no audio",
        f"{tmp_path}/t.parquet#1.wav": "cannot be read as audio (Format not recognised.)",
        f"{tmp_path}/t.parquet#2": "neither bytes nor path",
        f"{tmp_path}/silent.parquet": "no column of audio, which is a struct of 'bytes' and 'path'",
    }
    assert (done.clips, done.rejected) == (23, 11)
    assert json.loads((out / "pack.json").read_text())["rejected"] == 11
    clips = clips_of(out)
    assert clips.pop("a.wav") == clips.pop("t.parquet#0.wav") == clips["003.wav"]
    assert clips == {f"{n:03d}.wav": list(range(100 * n, 100 * n + 100)) for n in range(20)}
    names = {str(row["path"]): (row["licence"], row["n"], row["audio_path"]) for row in index_of(out)}
    assert names[f"{tmp_path}/clips/000.wav"] == ("CC0-1.0", "", "")
    assert names[f"{tmp_path}/clips/001.wav"] == ("", "", "")
    assert names[f"{tmp_path}/s.tar/a.wav"] == ("x", "", "")
    assert names[f"{tmp_path}/t.parquet#0.wav"] == ("", "1", "x.wav")


def test_the_same_pack_whatever_the_number_of_workers(tmp_path: Path) -> None:
    sources = mixture(tmp_path)
    for workers in (1, 2, 3):
        done = pack(sources, tmp_path / f"out{workers}", RATE, workers, shard_bytes=of_clips(4))
        assert done.shards >= 6
    assert content_of(tmp_path / "out1") == content_of(tmp_path / "out2") == content_of(tmp_path / "out3")


def test_a_clip_that_proves_damaged_after_the_first_block_leaves_no_trace(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 2)
    soundfile.write(audio / "000b.wav", np.zeros(2**20 + 5000), RATE, subtype="PCM_16")
    content = (audio / "000b.wav").read_bytes()
    (audio / "000b.wav").write_bytes(content[:-100])
    pack([audio], tmp_path / "out", RATE, workers=1)
    assert clips_of(tmp_path / "out") == {"000.wav": list(range(100)), "001.wav": list(range(100, 200))}
    assert (tmp_path / "out" / shard_name(0)).stat().st_size == 400
    assert "truncated" in rejected_of(tmp_path / "out")[str(audio / "000b.wav")]


def test_a_shard_of_nothing_but_rejects_is_no_file(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 3)
    for name in ("000.wav", "001.wav"):
        (audio / name).write_bytes(b"x" * of_clips(1))
    pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(2))
    assert names_in(tmp_path / "out") == [shard_name(1), "index.parquet", "pack.json", "rejected.csv"]
    assert clips_of(tmp_path / "out") == {"002.wav": list(range(200, 300))}


def test_names_with_commas_quotes_line_breaks_and_odd_bytes(tmp_path: Path) -> None:
    audio = tmp_path / "in: out"
    audio.mkdir()
    names = [b"a,b.wav", b'"q".wav', b"line\nbreak.wav", b"\xff.wav", "ü: x.wav".encode(), b"[*].WAV"]
    for number, name in enumerate(names):
        ramp(audio / "x.wav", 100 * number, 10)
        (audio / "x.wav").rename(os.fsdecode(os.fsencode(audio) + b"/good " + name))
        Path(os.fsdecode(os.fsencode(audio) + b"/bad " + name)).write_bytes(b"no audio")
    pack([audio], tmp_path / "out", RATE, workers=2, shard_bytes=1)
    printed = [name.decode("utf-8", "backslashreplace") for name in names]
    assert clips_of(tmp_path / "out") == {
        f"good {name}": list(range(100 * n, 100 * n + 10)) for n, name in sorted(enumerate(printed), key=lambda x: x[1])
    }
    reason = "cannot be read as audio (Format not recognised.)"
    assert rejected_of(tmp_path / "out") == {f"{audio}/bad {name}": reason for name in printed}


def test_a_folder_that_cannot_be_searched_is_among_the_rejected(tmp_path: Path) -> None:
    audio = unreadable(ramps(tmp_path / "a: b", 1))
    done = pack([audio], tmp_path / "out", RATE, workers=1)
    assert done.rejected == 1
    ((path, reason),) = rejected_of(tmp_path / "out").items()
    assert path.startswith(f"{audio}/xxx")
    assert reason == "cannot be searched (File name too long)"
    (audio / "000.wav").unlink()
    with pytest.raises(PackError, match="cannot be searched"):
        pack([audio], tmp_path / "out2", RATE, workers=1)
    assert names_in(tmp_path) == ["a: b", "out"]


def test_when_everything_is_rejected_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"this is not audio at all")
    with pytest.raises(PackError, match=r"none of the 1 files could be read; the first reason: .*/bad\.wav: cannot be"):
        pack([tmp_path / "bad.wav"], tmp_path / "out", RATE)
    assert names_in(tmp_path) == ["bad.wav"]
