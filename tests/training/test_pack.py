"""Packing real files in real processes: what comes out, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from selfie_hear.audio import read_audio
from tests.training.packs import RATE, clips_of, index_of, names_in, of_clips, ramp, ramps
from training.corpus.pack import Progress, pack
from training.corpus.shards import FORMAT_VERSION, PackError, shard_name


def sine(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def samples_of(folder: Path) -> list[int]:
    return list(np.fromfile(folder / shard_name(0), "<i2").tolist())


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


def test_progress_after_each_shard(tmp_path: Path) -> None:
    audio = ramps(tmp_path / "audio", 7)
    (audio / "005.wav").write_bytes(b"this is not audio at all")
    seen: list[Progress] = []
    done = pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(3), report=seen.append)
    hours = [clips * 100 / RATE / 3600 for clips in (3, 6)]
    assert seen == [Progress(1, 2, 3, 0, pytest.approx(hours[0])), Progress(2, 2, 6, 1, pytest.approx(hours[1]))]
    assert done == seen[-1]


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
