"""Packing real files of several formats, rates and channel counts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpus.pack import PackError, find_clips, pack, shard_name

RATE = 8000


def sine(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def ramp(path: Path, start: int, count: int) -> np.ndarray:
    """Write 16-bit samples that count upwards, so that every sample says where it comes from."""
    samples = np.arange(start, start + count, dtype=np.int16)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return samples


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def clip_of(folder: Path, row: dict[str, str]) -> np.ndarray:
    """The samples that a row of the index points to."""
    shard = np.fromfile(folder / f"audio-{int(row['shard']):05d}.i16", "<i2")
    return shard[int(row["offset"]) : int(row["offset"]) + int(row["samples"])]


def test_files_become_mono_samples_at_one_rate(tmp_path: Path) -> None:
    audio = tmp_path / "audio"
    audio.mkdir()
    mono = sine(0.5, RATE)
    soundfile.write(audio / "a.flac", mono, RATE)
    soundfile.write(audio / "b.wav", np.stack([sine(0.5, 22050), np.zeros(11025)], axis=1), 22050)
    soundfile.write(audio / "c.ogg", np.stack([sine(0.25, 16000)] * 3, axis=1), 16000)
    assert pack([audio], tmp_path / "out", RATE, workers=2) == (3, 0)

    rows = rows_of(tmp_path / "out" / "index.csv")
    assert [Path(row["path"]).name for row in rows] == ["a.flac", "b.wav", "c.ogg"]
    assert [int(row["samples"]) for row in rows] == [4000, 4000, 2000]
    assert [int(row["offset"]) for row in rows] == [0, 4000, 8000]
    flac, wav, ogg = (clip_of(tmp_path / "out", row) / 32768 for row in rows)
    np.testing.assert_allclose(flac, mono, atol=1 / 32768)
    inner = slice(200, 1800)  # away from where the resampler rings
    np.testing.assert_allclose(wav[inner], 0.5 * mono[inner], atol=0.002)  # one of two channels is silent
    np.testing.assert_allclose(ogg[inner], mono[inner], atol=0.05)  # lossy
    about = json.loads((tmp_path / "out" / "pack.json").read_text())
    assert about == {"format_version": 1, "sample_rate": RATE, "clips": 3, "samples": 10000}


def test_sixteen_bit_samples_at_the_rate_of_the_pack_are_kept_exactly(tmp_path: Path) -> None:
    extremes = np.array([-32768, -32767, -1, 0, 1, 32766, 32767], dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", extremes, RATE, subtype="PCM_16")
    pack([tmp_path / "a.wav"], tmp_path / "out", RATE)
    assert np.fromfile(tmp_path / "out" / "audio-00000.i16", "<i2").tolist() == extremes.tolist()


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([2.0, -2.0, 1.0, 0.25]), RATE, subtype="FLOAT")
    pack([tmp_path / "a.wav"], tmp_path / "out", RATE)
    assert np.fromfile(tmp_path / "out" / "audio-00000.i16", "<i2").tolist() == [32767, -32768, 32767, 8192]


def test_many_clips_stay_in_order_whatever_the_number_of_workers(tmp_path: Path) -> None:
    """More clips than are decoded ahead, of different lengths."""
    names = [f"{i:02d}.wav" for i in range(20)]
    clips = [ramp(tmp_path / name, 100 * i, 10 + i) for i, name in enumerate(names)]
    pack([tmp_path], tmp_path / "two", RATE, workers=2)
    pack([tmp_path], tmp_path / "one", RATE, workers=1)
    rows = rows_of(tmp_path / "two" / "index.csv")
    assert [Path(row["path"]).name for row in rows] == names
    assert all(np.array_equal(clip_of(tmp_path / "two", row), clip) for row, clip in zip(rows, clips, strict=True))
    assert (tmp_path / "one" / "index.csv").read_bytes() == (tmp_path / "two" / "index.csv").read_bytes()
    assert (tmp_path / "one" / shard_name(0)).read_bytes() == (tmp_path / "two" / shard_name(0)).read_bytes()


def test_a_full_shard_is_followed_by_the_next(tmp_path: Path) -> None:
    """Shards of 100 samples: 60 + 40 fit, 30 starts the second, 150 has one of its own, 10 the last."""
    lengths = (60, 40, 30, 150, 10)
    clips = [ramp(tmp_path / f"{i}.wav", 1000 * i, length) for i, length in enumerate(lengths)]
    pack([tmp_path], tmp_path / "out", RATE, workers=1, shard_samples=100)
    rows = rows_of(tmp_path / "out" / "index.csv")
    assert [(int(row["shard"]), int(row["offset"])) for row in rows] == [(0, 0), (0, 60), (1, 0), (2, 0), (3, 0)]
    assert all(np.array_equal(clip_of(tmp_path / "out", row), clip) for row, clip in zip(rows, clips, strict=True))
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out").glob("*.i16"))]
    assert sizes == [200, 60, 300, 20]


def test_an_unreadable_file_is_listed_with_the_reason_and_the_rest_is_packed(tmp_path: Path) -> None:
    ramp(tmp_path / "good.wav", 0, 50)
    (tmp_path / "noise.wav").write_bytes(b"this is not audio at all")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    assert pack([tmp_path], tmp_path / "out", RATE) == (1, 2)
    rejected = {Path(row["path"]).name: row["reason"] for row in rows_of(tmp_path / "out" / "rejected.csv")}
    assert set(rejected) == {"noise.wav", "none.wav"}
    assert "cannot be read as audio" in rejected["noise.wav"]
    assert "holds no samples" in rejected["none.wav"]
    assert [Path(row["path"]).name for row in rows_of(tmp_path / "out" / "index.csv")] == ["good.wav"]


def test_when_everything_is_rejected_nothing_is_left_behind(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"this is not audio at all")
    with pytest.raises(PackError, match=r"none of the 1 files could be read; the first reason: .*bad\.wav"):
        pack([tmp_path / "bad.wav"], tmp_path / "out", RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    ramp(tmp_path / "a.wav", 0, 50)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(PackError, match="exists already"):
        pack([tmp_path / "a.wav"], out, RATE)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_columns_of_manifests_are_kept(tmp_path: Path) -> None:
    """Paths are relative to the manifest; what one manifest does not say stays empty."""
    (tmp_path / "clips").mkdir()
    for number in range(3):
        ramp(tmp_path / "clips" / f"{number}.wav", 0, 10)
    (tmp_path / "first.csv").write_text(
        'path,licence,source\nclips/0.wav,CC0-1.0,"Müller, H."\nclips/1.wav,CC-BY-4.0,B\n', encoding="utf-8"
    )
    (tmp_path / "second.csv").write_text("domain,path\nspeech,clips/2.wav\n")
    assert pack([tmp_path / "first.csv", tmp_path / "second.csv"], tmp_path / "out", RATE) == (3, 0)
    rows = rows_of(tmp_path / "out" / "index.csv")
    assert list(rows[0]) == ["path", "shard", "offset", "samples", "licence", "source", "domain"]
    assert [(row["licence"], row["source"], row["domain"]) for row in rows] == [
        ("CC0-1.0", "Müller, H.", ""),
        ("CC-BY-4.0", "B", ""),
        ("", "", "speech"),
    ]


@pytest.mark.parametrize("column", ["samples", "offset", "shard"])
def test_a_manifest_column_that_the_index_needs_itself_is_refused(tmp_path: Path, column: str) -> None:
    """The index would have two columns of that name, and its reader would believe the wrong one."""
    ramp(tmp_path / "a.wav", 0, 10)
    (tmp_path / "clips.csv").write_text(f"path,{column}\na.wav,7\n")
    with pytest.raises(PackError, match=column):
        pack([tmp_path / "clips.csv"], tmp_path / "out", RATE)


@pytest.mark.parametrize("text", ["", "path\n", "file,licence\na.wav,CC0-1.0\n"])
def test_a_manifest_without_paths_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "clips.csv").write_text(text)
    with pytest.raises(PackError, match="a column named 'path'"):
        pack([tmp_path / "clips.csv"], tmp_path / "out", RATE)


def test_a_file_that_a_manifest_names_but_that_is_missing_is_rejected(tmp_path: Path) -> None:
    ramp(tmp_path / "a.wav", 0, 10)
    (tmp_path / "clips.csv").write_text("path\na.wav\nb.wav\n")
    assert pack([tmp_path / "clips.csv"], tmp_path / "out", RATE) == (1, 1)
    (row,) = rows_of(tmp_path / "out" / "rejected.csv")
    assert row["path"] == str(tmp_path / "b.wav")
    assert "no such file" in row["reason"]


def test_a_folder_is_searched_to_the_bottom_in_order_of_name(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("c.wav", "b/deep/x.FLAC", "a.ogg", "notes.txt"):
        (tmp_path / name).touch()
    found = [clip.path.relative_to(tmp_path).as_posix() for clip in find_clips([tmp_path])]
    assert found == ["a.ogg", "b/deep/x.FLAC", "c.wav"]


def test_sources_without_audio_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(PackError, match="holds no audio files"):
        find_clips([tmp_path])
    with pytest.raises(PackError, match="no such file or folder"):
        find_clips([tmp_path / "nowhere"])
