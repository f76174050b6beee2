"""Packing real files in real processes: what comes out, and what is left when it is killed, full or wrong."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from selfie_hear.audio import read_audio
from tests.training.processes import killed_with_workers
from training.corpus.pack import Progress, pack
from training.corpus.shards import FORMAT_VERSION, Pack, PackError, shard_name
from training.corpus.workers import WorkerError

RATE = 8000


def sine(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def ramp(path: Path, start: int, count: int) -> np.ndarray:
    """Write 16-bit samples that count upwards, so that every sample says where it comes from."""
    samples = np.arange(start, start + count, dtype=np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return samples


def ramps(folder: Path, count: int, length: int = 100) -> Path:
    folder.mkdir()
    for number in range(count):
        ramp(folder / f"{number:03d}.wav", 100 * number, length)
    return folder


def of_clips(count: int, length: int = 100) -> int:
    """`shard_bytes` for shards of `count` of these ramps."""
    return count * (44 + 2 * length)


def index_of(folder: Path) -> list[dict[str, str | int]]:
    return list(pq.read_table(folder / "index.parquet").to_pylist())


def rejected_of(folder: Path) -> dict[str, str]:
    with (folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def clips_of(folder: Path) -> dict[str, list[int]]:
    pack = Pack(folder)
    pack.verify()
    names = [str(row["path"]) for row in index_of(folder)]
    return {Path(name).name: pack.cut(n, 0, int(pack.samples[n])).tolist() for n, name in enumerate(names)}


def samples_of(folder: Path) -> list[int]:
    return list(np.fromfile(folder / shard_name(0), "<i2").tolist())


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What is written


def test_files_become_mono_samples_at_one_rate(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    mono = sine(0.5, RATE)
    soundfile.write(audio / "a.flac", mono, RATE)
    soundfile.write(audio / "b.wav", np.stack([sine(0.5, 22050), np.zeros(11025)], axis=1), 22050)
    soundfile.write(audio / "c.ogg", np.stack([sine(0.25, 16000)] * 3, axis=1), 16000)
    seen: list[Progress] = []
    done = pack([audio], tmp_path / "out", RATE, workers=2, report=seen.append)
    assert done == Progress(1, 1, 3, 0, pytest.approx(10000 / RATE / 3600))
    assert seen == [done]

    rows = index_of(tmp_path / "out")
    assert list(rows[0]) == ["path", "shard", "offset", "samples"]
    assert [row["path"] for row in rows] == [str(audio / name) for name in ("a.flac", "b.wav", "c.ogg")]
    assert [(row["shard"], row["offset"], row["samples"]) for row in rows] == [
        (0, 0, 4000),
        (0, 4000, 4000),
        (0, 8000, 2000),
    ]
    flac, wav, ogg = (np.array(clip) / 32768 for clip in clips_of(tmp_path / "out").values())
    np.testing.assert_allclose(flac, mono, atol=1 / 32768)
    inner = slice(200, 1800)  # away from where the resampler rings
    np.testing.assert_allclose(wav[inner], 0.5 * mono[inner], atol=0.002)  # one of two channels is silent
    np.testing.assert_allclose(ogg[inner], mono[inner], atol=0.05)  # lossy


def test_the_files_of_a_pack(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 5)
    (audio / "bad.wav").write_bytes(b"this is not audio at all")
    out = tmp_path / "out"
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    shards = [shard_name(n) for n in range(3)]
    assert names_in(out) == [*shards, "index.parquet", "pack.json", "rejected.csv"]
    assert shards == ["audio-00000.i16", "audio-00001.i16", "audio-00002.i16"]
    digests = {name: sha256((out / name).read_bytes()).hexdigest() for name in names_in(out)}
    assert json.loads((out / "pack.json").read_text()) == {
        "format_version": FORMAT_VERSION,
        "sample_rate": RATE,
        "clips": 5,
        "hours": round(500 / RATE / 3600, 4),
        "rejected": 1,
        "index": {"sha256": digests["index.parquet"]},
        "shards": {
            name: {"samples": n, "sha256": digests[name]} for name, n in zip(shards, (200, 200, 100), strict=True)
        },
    }
    schema = pq.read_schema(out / "index.parquet")
    assert schema.names == ["path", "shard", "offset", "samples"]
    assert schema.types == [pa.string(), pa.int64(), pa.int64(), pa.int64()]
    assert names_in(tmp_path) == ["audio", "out"]


def test_sixteen_bit_samples_at_the_rate_of_the_pack_are_kept_exactly(tmp_path: Path) -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", every, RATE, subtype="PCM_16")
    pack([tmp_path / "a.wav"], tmp_path / "out", RATE)
    assert samples_of(tmp_path / "out") == every.tolist()


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0, 1.0, 0.25, 1.6 / 32768]), RATE, subtype="FLOAT")
    pack([tmp_path / "a.wav"], tmp_path / "out", RATE)
    assert samples_of(tmp_path / "out") == [32767, -32768, 32767, 8192, 2]


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_a_clip_longer_than_one_block_is_what_reading_it_at_once_gives(tmp_path: Path, rate: int) -> None:
    generator = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", generator.uniform(-0.5, 0.5, 2**20 + 5000), rate, subtype="PCM_16")
    pack([tmp_path / "a.wav"], tmp_path / "out", RATE, workers=1)
    whole = np.rint(read_audio(tmp_path / "a.wav", RATE) * 32768)
    assert np.array_equal(np.fromfile(tmp_path / "out" / shard_name(0), "<i2"), whole)


def test_a_clip_that_proves_damaged_after_the_first_block_leaves_no_trace(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 2)
    soundfile.write(audio / "000b.wav", np.zeros(2**20 + 5000), RATE, subtype="PCM_16")
    content = (audio / "000b.wav").read_bytes()
    (audio / "000b.wav").write_bytes(content[:-100])
    pack([audio], tmp_path / "out", RATE, workers=1)
    assert clips_of(tmp_path / "out") == {"000.wav": list(range(100)), "001.wav": list(range(100, 200))}
    assert (tmp_path / "out" / shard_name(0)).stat().st_size == 400
    assert "truncated" in rejected_of(tmp_path / "out")[str(audio / "000b.wav")]


def test_a_shard_is_full_when_its_sources_have_so_many_bytes(tmp_path: Path) -> None:
    """Of 100 samples each: 60 + 40 fill one, 30 + 150 one, 10 is left."""
    audio = tmp_path / "audio"
    audio.mkdir()
    lengths = (60, 40, 30, 150, 10)
    clips = [ramp(audio / f"{i}.wav", 1000 * i, length).tolist() for i, length in enumerate(lengths)]
    pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=288)
    rows = index_of(tmp_path / "out")
    assert [(row["shard"], row["offset"]) for row in rows] == [(0, 0), (0, 60), (1, 0), (1, 30), (2, 0)]
    assert list(clips_of(tmp_path / "out").values()) == clips


def test_a_million_sources_are_not_a_million_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.corpus.pack.MOST_SHARDS", 4)
    done = pack([ramps(tmp_path / "audio", 30)], tmp_path / "out", RATE, workers=1, shard_bytes=1)
    assert done.shards_done == done.shards == 4
    assert len(list((tmp_path / "out").glob("*.i16"))) == 4


def mixture(folder: Path) -> list[Path]:
    """Sources of every kind, with something wrong in each."""
    clips = ramps(folder / "clips", 20)
    (clips / "bad.wav").write_bytes(b"this is not audio at all")
    soundfile.write(clips / "none.wav", np.zeros(0), RATE)
    (clips / "nul.flac").touch()
    sound = (clips / "003.wav").read_bytes()
    with tarfile.open(folder / "s.tar", "w") as tar:
        for name, content in {
            "a.wav": sound,
            "a.json": b'{"licence": "x"}',
            "b.wav": b"no audio",
            "c.json": b"{",
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    (folder / "cut.tar").write_bytes((folder / "s.tar").read_bytes()[:1100])
    (folder / "empty.tar").write_bytes(bytes(10240))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    audio = [{"bytes": sound, "path": "x.wav"}, {"bytes": b"no audio", "path": "y.wav"}, {"bytes": None, "path": None}]
    pq.write_table(pa.table({"audio": pa.array(audio, kind), "n": [1, 2, 3]}), folder / "t.parquet")
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


def test_progress_after_each_shard(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 7)
    (audio / "005.wav").write_bytes(b"this is not audio at all")
    seen: list[Progress] = []
    done = pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(3), report=seen.append)
    hours = [clips * 100 / RATE / 3600 for clips in (3, 6)]
    assert seen == [Progress(1, 2, 3, 0, pytest.approx(hours[0])), Progress(2, 2, 6, 1, pytest.approx(hours[1]))]
    assert done == seen[-1]


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
    audio = ramps(tmp_path / "a: b", 1)
    place = os.open(audio, os.O_RDONLY)
    for _ in range(17):  # a path that is longer than the system allows, so that not even root can list it
        os.mkdir("x" * 250, dir_fd=place)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
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


@pytest.mark.parametrize("workers", [1, 2])
def test_paths_are_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Also in processes, which are started elsewhere; into a folder that is not there yet."""
    ramps(tmp_path / "audio", 2)
    monkeypatch.chdir(tmp_path)
    pack([Path("audio")], Path("new/deep/out"), RATE, workers, shard_bytes=1)
    assert [row["path"] for row in index_of(tmp_path / "new/deep/out")] == ["audio/000.wav", "audio/001.wav"]
    pack([Path(), Path("audio/../audio/000.wav")], Path("out"), RATE, workers, shard_bytes=1)  # out is in the sources
    assert [Path(str(row["path"])).name for row in index_of(tmp_path / "out")] == ["000.wav", "001.wav"]


# What is refused


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    ramp(tmp_path / "a.wav", 0, 50)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (out, tmp_path / "a.wav", tmp_path / "link"):
        with pytest.raises(PackError, match=rf"{taken.name}: exists already; name a new folder"):
            pack([tmp_path / "a.wav"], taken, RATE)
    assert names_in(out) == ["mine.txt"]
    assert names_in(tmp_path) == ["a.wav", "link", "out"]


def test_a_mistake_in_the_sources_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no such file"):
        pack([tmp_path / "nowhere"], tmp_path / "deep" / "out", RATE)
    assert names_in(tmp_path) == []


def test_of_two_who_pack_the_same_the_second_is_refused(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 4)

    def again(_: Progress) -> None:
        with pytest.raises(PackError, match="out: another process is packing it"):
            pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(2))

    done = pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(2), report=again)
    assert done.clips == len(clips_of(tmp_path / "out")) == 4


# What is left when it stops


class Stop(Exception):  # noqa: N818
    pass


def stop(_: Progress) -> None:
    raise Stop


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Sources for four shards, the pack of them, and the name of one that stopped after the first shard."""
    audio = ramps(tmp_path / "audio", 7)
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=of_clips(2))
    with pytest.raises(Stop):
        pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(2), report=stop)
    return audio, tmp_path / "clean", tmp_path / "out"


def test_a_pack_that_stopped_is_not_there_and_goes_on(begun: tuple[Path, Path, Path]) -> None:
    audio, clean, out = begun
    assert not out.exists()
    seen: list[Progress] = []
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2), report=seen.append)
    assert [now.shards_done for now in seen] == [1, 2, 3, 4]
    assert [now.clips for now in seen] == [2, 4, 6, 7]
    assert content_of(out) == content_of(clean)
    assert names_in(out.parent) == ["audio", "clean", "out"]


def add(audio: Path) -> None:
    ramp(audio / "new.wav", 0, 10)


def lengthen(audio: Path) -> None:
    ramp(audio / "006.wav", 0, 101)


def remove(audio: Path) -> None:
    (audio / "006.wav").unlink()


def rename(audio: Path) -> None:
    (audio / "006.wav").rename(audio / "007.wav")


@pytest.mark.parametrize("change", [add, lengthen, remove, rename])
def test_what_was_begun_with_other_sources_is_refused(
    begun: tuple[Path, Path, Path], change: Callable[[Path], None]
) -> None:
    audio, _, out = begun
    change(audio)
    left = content_of(out.with_name(".out.packing"))
    with pytest.raises(
        PackError, match=r"out: was begun with other sources or settings; .* or delete .*\.out\.packing"
    ):
        pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    assert content_of(out.with_name(".out.packing")) == left


@pytest.mark.parametrize(("sample_rate", "shard_bytes"), [(RATE // 2, of_clips(2)), (RATE, of_clips(3))])
def test_what_was_begun_with_other_settings_is_refused(
    begun: tuple[Path, Path, Path], sample_rate: int, shard_bytes: int
) -> None:
    audio, _, out = begun
    with pytest.raises(PackError, match="was begun with other sources or settings; repeat those"):
        pack([audio], out, sample_rate, workers=1, shard_bytes=shard_bytes)


def test_what_was_begun_with_other_columns_is_refused(tmp_path: Path) -> None:
    ramp(tmp_path / "a.wav", 0, 10)
    for licence in ("CC0-1.0", "CC-BY-4.0"):
        (tmp_path / "a.csv").write_text(f"path,licence\na.wav,{licence}\n")
        with pytest.raises(Stop if licence == "CC0-1.0" else PackError):
            pack([tmp_path / "a.csv"], tmp_path / "out", RATE, workers=1, report=stop)


def test_deleting_what_was_begun_begins_anew(begun: tuple[Path, Path, Path]) -> None:
    audio, _, out = begun
    for path in (folder := out.with_name(".out.packing")).iterdir():
        path.unlink()
    folder.rmdir()
    add(audio)
    assert pack([audio], out, RATE, workers=1).clips == 8


def test_half_a_shard_and_leftovers_of_killed_processes_are_done_again(begun: tuple[Path, Path, Path]) -> None:
    """Killed between a shard and its part of the index, and while others were being written."""
    audio, clean, out = begun
    folder = out.with_name(".out.packing")
    (folder / "index-00000.parquet").unlink()
    (folder / shard_name(0)).write_bytes(b"not what belongs here")
    leftovers = [folder / f".{shard_name(1)}.partial-0", folder / ".tmp-a-clip-out-of-a-tar"]
    for path in leftovers:
        path.write_bytes(b"half")
    found: list[bool] = []
    pack([audio], out, RATE, 2, lambda _: found.extend(path.exists() for path in leftovers), of_clips(2))
    assert not any(found)  # gone at once: there may be no room for both
    assert content_of(out) == content_of(clean)


def test_killed_before_it_got_its_name_it_only_gets_its_name(
    begun: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, clean, out = begun
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Path, "rename", lambda *_: stop(Progress(0, 0, 0, 0, 0)))
        pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    shards = {path.name: path.stat().st_mtime_ns for path in out.with_name(".out.packing").glob("*.i16")}
    assert len(shards) == 4
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    assert content_of(out) == content_of(clean)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.i16")} == shards


PACK_AND_DIE = """
import multiprocessing, os, signal, sys
from pathlib import Path
from training.corpus.pack import pack

def die(now):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    pack([Path(sys.argv[1])], Path(sys.argv[2]), 8000, workers=2, report=die, shard_bytes=int(sys.argv[3]))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_it_goes_on_where_it_stopped_and_its_workers_end(tmp_path: Path) -> None:
    """A real SIGKILL, when the first shard is done."""
    audio, out, folder = ramps(tmp_path / "audio", 240), tmp_path / "out", tmp_path / ".out.packing"
    (tmp_path / "die.py").write_text(PACK_AND_DIE)
    killed_with_workers(tmp_path / "die.py", audio, out, str(of_clips(8)))
    assert not out.exists()
    done = [int(path.stem.removeprefix("index-")) for path in folder.glob("index-*.parquet")]
    assert 1 <= len(done) < 30

    def state(path: Path) -> tuple[int, int]:
        return path.stat().st_ino, path.stat().st_mtime_ns

    before = {number: state(folder / shard_name(number)) for number in done}
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(8))
    assert {number: state(out / shard_name(number)) for number in done} == before
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=of_clips(8))
    assert content_of(out) == content_of(tmp_path / "clean")
    assert names_in(tmp_path) == ["audio", "clean", "die.py", "out"]


def test_a_killed_worker_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    audio, out = ramps(tmp_path / "audio", 120), tmp_path / "out"
    before = set(multiprocessing.active_children())

    def kill(_: Progress) -> None:
        for child in set(multiprocessing.active_children()) - before:
            with suppress(ProcessLookupError):
                child.kill()

    with pytest.raises(WorkerError, match="a process was killed at its work, .*; the same call goes on from there"):
        pack([audio], out, RATE, workers=2, shard_bytes=of_clips(4), report=kill)
    assert not out.exists()
    assert pack([audio], out, RATE, workers=1, shard_bytes=of_clips(4)).clips == len(clips_of(out)) == 120


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Writing fails for real, in any file, at this many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_with_the_disk_full_it_stops_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The third of four shards does not fit."""
    audio = ramps(tmp_path / "audio", 4, 10000)
    ramp(audio / "002.wav", 0, 30000)
    out, folder = tmp_path / "out", tmp_path / ".out.packing"
    with full_disk(40000), pytest.raises(OSError, match="File too large"):
        pack([audio], out, RATE, workers=1, shard_bytes=1)
    assert not out.exists()
    parts = [f"audio-0000{n}.i16" for n in (0, 1)] + [f"index-0000{n}.parquet" for n in (0, 1)]
    assert names_in(folder) == [*parts, "lock", "plan.sha256"]
    times = [(folder / shard_name(n)).stat().st_mtime_ns for n in (0, 1)]
    pack([audio], out, RATE, workers=1, shard_bytes=1)
    assert [(out / shard_name(n)).stat().st_mtime_ns for n in (0, 1)] == times
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=1)
    assert content_of(out) == content_of(tmp_path / "clean")


def test_with_the_disk_full_no_clip_of_a_tar_is_lost(tmp_path: Path) -> None:
    """There was no room for the temporary file, which is no reason to reject the clip."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for path in sorted(ramps(tmp_path / "audio", 3, 10000).iterdir()):
            tar.add(path, path.name)
    with full_disk(15000), pytest.raises(OSError, match="File too large"):
        pack([tmp_path / "s.tar"], tmp_path / "out", RATE, workers=1)
    done = pack([tmp_path / "s.tar"], tmp_path / "out", RATE, workers=1)
    assert (done.clips, done.rejected) == (3, 0)


def test_an_error_in_a_worker_is_the_same_error_here(tmp_path: Path) -> None:
    """A folder in the place of a shard, which a worker cannot replace."""
    audio, out = ramps(tmp_path / "audio", 12), tmp_path / "out"
    (tmp_path / ".out.packing" / shard_name(1) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=shard_name(1)):
        pack([audio], out, RATE, workers=2, shard_bytes=of_clips(2))
    assert not out.exists()
    (tmp_path / ".out.packing" / shard_name(1) / "in the way").rmdir()
    (tmp_path / ".out.packing" / shard_name(1)).rmdir()
    assert pack([audio], out, RATE, workers=2, shard_bytes=of_clips(2)).clips == len(clips_of(out)) == 12
