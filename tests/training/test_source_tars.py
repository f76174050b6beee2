"""Clips in tar shards: their names, what is known of them, and what is kept of damaged ones."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.training.sources import clips_of, tar_of, wav
from training.corpus.sources import Source, read_clips


def test_a_tar_shard_of_webdataset(tmp_path: Path) -> None:
    """What describes a clip may come before or after it; a key ends at the first dot of the name, not of the folder."""
    members = {
        "./in.v1/a.flac": wav(1, "FLAC"),
        "./in.v1/a.json": b'{"text": "hello", "n": 3, "x": 0.5, "ok": true, "no": null, "l": [1], "more": {"y": 1}}',
        "b.txt": "Grüße \xff\n".encode(),
        "b.cls": b"7\n",
        "b.near.wav": wav(2),
        "b.far.WAV": wav(3),
        "c.wav": wav(4),
        "c.TXT": b"loud",
        "readme.md": b"nothing",
        ".hidden.wav": wav(9),
        "._c.wav": b"what another system leaves",
        "d.png": b"no sound",
    }
    tar = tar_of(tmp_path / "s.tar", members)
    about = {"txt": "Grüße ÿ", "cls": "7"}
    assert clips_of(tar) == [
        ("/in.v1/a.flac", {"text": "hello", "n": "3", "x": "0.5", "ok": "True"}, 1),
        ("/b.near.wav", about, 2),
        ("/b.far.WAV", about, 3),
        ("/c.wav", {"txt": "loud"}, 4),
    ]


def test_the_same_name_in_two_folders_is_two_samples(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "s.tar", {"x/a.wav": wav(1), "x/a.txt": b"x", "y/a.wav": wav(2), "y/a.txt": b"y"})
    assert clips_of(tar) == [("/x/a.wav", {"txt": "x"}, 1), ("/y/a.wav", {"txt": "y"}, 2)]


@pytest.mark.parametrize("name", ["s.tgz", "s.tar.gz", "s.TAR.GZ"])
def test_a_compressed_tar_shard(tmp_path: Path, name: str) -> None:
    assert clips_of(tar_of(tmp_path / name, {"a.wav": wav(5)}, "w:gz")) == [("/a.wav", {}, 5)]


def test_what_the_manifest_says_of_a_tar_holds_for_its_clips_unless_they_say_otherwise(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "s.tar", {"a.wav": wav(1), "b.wav": wav(2), "b.json": b'{"licence": "CC-BY-4.0"}'})
    assert clips_of(tar, {"licence": "CC0-1.0", "source": "S"}) == [
        ("/a.wav", {"licence": "CC0-1.0", "source": "S"}, 1),
        ("/b.wav", {"licence": "CC-BY-4.0", "source": "S"}, 2),
    ]


def test_columns_that_the_index_needs_get_an_underscore(tmp_path: Path) -> None:
    said = {"path": "p", "shard": 1, "offset": 2, "samples": 3, "reason": "r", "sample": 4}
    tar = tar_of(tmp_path / "s.tar", {"a.json": json.dumps(said).encode(), "a.wav": wav(1)})
    ((_, about, _),) = clips_of(tar)
    assert about == {"path_": "p", "shard_": "1", "offset_": "2", "samples_": "3", "reason_": "r", "sample": "4"}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b"[" * 10**6])
def test_broken_json_is_reported_and_the_clip_kept(tmp_path: Path, content: bytes) -> None:
    tar = tar_of(tmp_path / "s.tar", {"a.wav": wav(1), "a.json": content, "a.txt": b"text", "b.wav": wav(2)})
    broken, a, b = clips_of(tar)
    assert broken[:2] == ("/a.json", {})
    assert str(broken[2]).startswith("not JSON (")
    assert str(broken[2]).endswith("); its audio is packed without it")
    assert [a, b] == [("/a.wav", {"txt": "text"}, 1), ("/b.wav", {}, 2)]


@pytest.mark.parametrize("content", [b"[1, 2]", b"null", b'"text"'])
def test_json_that_names_nothing_is_no_column(tmp_path: Path, content: bytes) -> None:
    assert clips_of(tar_of(tmp_path / "s.tar", {"a.json": content, "a.wav": wav(1)})) == [("/a.wav", {}, 1)]


def test_names_and_texts_that_are_not_utf_8(tmp_path: Path) -> None:
    """All of it must fit in the index, which is UTF-8."""
    tar = tar_of(
        tmp_path / "s.tar",
        {"\udcff.wav": wav(1), "\udcff.txt": b"\xfe", "\udcff.json": b'{"a\\ud800": "b\\ud800"}', "b\udcfd.json": b"{"},
    )
    assert [(name, about) for name, about, _ in clips_of(tar)] == [
        ("/\\xff.wav", {"txt": "\\xfe", "a\\ud800": "b\\ud800"}),
        ("/b\\xfd.json", {}),
    ]


def test_what_is_not_a_file_in_a_tar_is_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, kind in (("d.wav", tarfile.DIRTYPE), ("l.wav", tarfile.SYMTYPE), ("f.wav", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.wav"
            tar.addfile(member)
    tar_of(tmp_path / "s.tar", {"../../a.wav": wav(1)}, "a")
    assert clips_of(tmp_path / "s.tar") == [("/../../a.wav", {}, 1)]


def test_a_bad_clip_in_a_tar_is_no_damage_to_the_others(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "s.tar", {"a.wav": wav(1), "b.wav": b"", "c.wav": wav(3)})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    sizes = [
        clip.file.stat().st_size for clip in read_clips(Source(str(tar), 0), scratch) if isinstance(clip.file, Path)
    ]
    assert sizes == [46, 0, 50]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_without_audio_is_reported(tmp_path: Path, mode: str) -> None:
    name = "s.tar" if mode == "w" else "s.tgz"
    for members in ({}, {"a.m4a": b"not read here", "a.json": b"{}"}):
        assert clips_of(tar_of(tmp_path / name, members, mode)) == [("", {}, "holds no audio")]


CUT = {
    "inside of a clip": 3 * 1024 + 512 + 30,
    "after a clip, before its padding": 3 * 1024 + 512 + 60,
    "between two clips": 4 * 1024,
    "inside of a header": 4 * 1024 + 100,
    "before its end mark": 5 * 1024,
}


@pytest.mark.parametrize(("size", "whole"), list(zip(CUT.values(), [3, 4, 4, 4, 5], strict=True)), ids=CUT)
def test_the_clips_before_the_damage_of_a_tar_are_kept(tmp_path: Path, size: int, whole: int) -> None:
    """Five clips of a header and 46 to 54 bytes, each a block of 512 bytes."""
    tar = tar_of(tmp_path / "s.tar", {f"{n}.wav": wav(n) for n in range(1, 6)})
    tar.write_bytes(tar.read_bytes()[:size])
    *clips, (name, _, reason) = clips_of(tar, {"licence": "CC0-1.0"})
    assert clips == [(f"/{n}.wav", {"licence": "CC0-1.0"}, n) for n in range(1, whole + 1)]
    assert name == ""
    assert str(reason).startswith("cannot be read to its end (")
    assert str(tmp_path) not in str(reason)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    tar = tar_of(tmp_path / "s.tar", {f"{n}.wav": wav(n) for n in range(1, 6)})
    content = bytearray(tar.read_bytes())
    content[2 * 1024 + 100] ^= 0xFF
    tar.write_bytes(content)
    assert clips_of(tar) == [
        ("/1.wav", {}, 1),
        ("/2.wav", {}, 2),
        ("", {}, "cannot be read to its end (damaged or cut off at byte 2048)"),
    ]


DAMAGE = {"cut": b"", "no deflate": b"\xff" * 40000, "other bytes, found by the checksum only": bytes(100)}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_of_a_compressed_tar_is_found_and_the_clips_before_it_are_kept(tmp_path: Path, damage: bytes) -> None:
    """Between the clips lies noise, which gzip stores as it is."""
    members = {"a.wav": wav(1), "n.txt": np.random.default_rng(0).bytes(10**5), "b.wav": wav(2)}
    tar = tar_of(tmp_path / "s.tgz", members, "w:gz")
    content = tar.read_bytes()
    tar.write_bytes(content[:50000] + damage + content[50000 + len(damage) :] * bool(damage))
    clip, *rest, (name, _, reason) = clips_of(tar)
    assert clip == ("/a.wav", {}, 1)
    assert rest == [("/b.wav", {}, 2)] * damage.startswith(b"\0")
    assert (name, str(reason)[:25]) == ("", "cannot be read to its end")
