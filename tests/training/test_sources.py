"""Finding what can be packed, and the clips in it: real files, tar shards and tables, whole and damaged."""

from __future__ import annotations

import io
import json
import os
import resource
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from selfie_hear.audio import AudioError, stream_audio
from training.corpus.shards import PackError
from training.corpus.sources import Source, find_sources, read_clips

RATE = 8000
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as datasets writes it


def wav(count: int, file_format: str = "WAV") -> bytes:
    """A sound of `count` samples 1, 2, 3, ..."""
    file = io.BytesIO()
    soundfile.write(file, np.arange(1, count + 1, dtype=np.int16), RATE, format=file_format, subtype="PCM_16")
    return file.getvalue()


def found(*paths: Path) -> list[str]:
    sources, failures = find_sources(paths)
    assert failures == []
    return [source.path for source in sources]


def clips_of(path: Path, about: Mapping[str, str] | None = None) -> list[tuple[str, Mapping[str, str], int | str]]:
    """Of each clip the name (from the source's on), what is known of it, and how many samples it has or the reason."""
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    clips = []
    for clip in read_clips(Source(str(path), 0, about or {}), scratch):
        assert clip.name.startswith(str(path))
        if isinstance(clip.file, AudioError):
            result: int | str = str(clip.file)
        else:
            samples = np.concatenate(list(stream_audio(clip.file, RATE))) * 32768
            assert samples.tolist() == list(range(1, len(samples) + 1))
            result = len(samples)
        clips.append((clip.name.removeprefix(str(path)), clip.about, result))
    assert list(scratch.iterdir()) == []
    return clips


def tar_of(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def table_of(place: Path, audio: list[dict[str, Any] | None], **columns: Any) -> Path:
    table = pa.table({"audio": pa.array(audio, AUDIO), **columns})
    if place.suffix == ".parquet":
        pq.write_table(table, place)
    else:
        with pa.ipc.new_stream(str(place), table.schema) as stream:
            stream.write_table(table)
    return place


# What is found


def test_a_folder_is_searched_to_the_bottom_in_order_of_name(tmp_path: Path) -> None:
    kept = ["B.FLAC", "a.ogg", "b/deep/s.TAR", "b/deep/x.wav", "b/t.tar.gz", "c.arrow", "c.tgz", "d.parquet"]
    for name in [*kept, "notes.txt", "list.csv", ".hidden.wav", ".git/e.wav", "cache-1.arrow", "list.csv.gz"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert found(tmp_path) == [str(tmp_path / name) for name in kept]


@pytest.mark.parametrize("name", ["cache-1.arrow", "sounds.gz", ".hidden.wav", "sound.xyz", "[1].wav", "a,\"b'\n.wav"])
def test_what_is_named_is_tried_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"seven b")
    (source,) = find_sources([tmp_path / name])[0]
    assert source == Source(str(tmp_path / name), 7, {})


def test_a_glob_of_files_and_of_manifests(tmp_path: Path) -> None:
    for name in ("a1.wav", "a2.wav", "b.wav"):
        (tmp_path / name).touch()
    for name in "bc":
        (tmp_path / f"{name}.csv").write_text(f"path\n{name}.wav\n")
    assert found(tmp_path / "a*.wav") == [str(tmp_path / "a1.wav"), str(tmp_path / "a2.wav")]
    assert found(tmp_path / "*.csv") == [str(tmp_path / "b.wav"), str(tmp_path / "c.wav")]


def test_each_file_once_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder, its path from here, two rows of a manifest and a link; and links that lead in a circle."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").touch()
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self.wav").symlink_to(tmp_path / "in" / "self.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "in" / "a.wav")
    (tmp_path / "clips.csv").write_text("path,title\nin/a.wav,first\nin/../in/a.wav,second\n")
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path / "in", Path("in/a.wav"), Path("clips.csv"), Path("link.wav")) == [
        str(tmp_path / "in" / "a.wav")
    ]
    (source,) = find_sources([Path("clips.csv"), Path("in")])[0]
    assert source == Source("in/a.wav", 0, {"title": "first"})


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.wav"
    Path(os.fsdecode(name)).write_bytes(wav(3))
    (source,) = find_sources([tmp_path])[0]
    (clip,) = read_clips(source, tmp_path)
    assert clip.name == f"{tmp_path}/\\xff.wav"
    assert clip.file == Path(os.fsdecode(name))


def test_what_cannot_be_found_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "*.wav", tmp_path / "nowhere.csv"):
        with pytest.raises(PackError, match=r"no such file.*; packed are manifests \(\.csv, \.tsv\) and .*\.wav"):
            find_sources([path])


def test_a_folder_of_what_is_left_aside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache-1.arrow").touch()
    with pytest.raises(PackError, match=rf"{tmp_path}: nothing to pack; packed are"):
        find_sources([tmp_path])


def unreadable(folder: Path) -> Path:
    """A folder that even root cannot list: its path is longer than the system allows."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("x" * 250, dir_fd=place)
        inner = os.open("x" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    return folder


def test_a_folder_that_cannot_be_searched_is_reported(tmp_path: Path) -> None:
    (unreadable(tmp_path) / "a.wav").touch()
    sources, (failure,) = find_sources([tmp_path])
    assert [source.path for source in sources] == [str(tmp_path / "a.wav")]
    assert str(failure).endswith("xxx: cannot be searched (File name too long)")
    (tmp_path / "a.wav").unlink()
    with pytest.raises(PackError, match=r"xxx: cannot be searched"):
        find_sources([tmp_path])


# Manifests


def test_a_manifest_names_files_beside_it_and_says_what_is_known_of_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clips").mkdir()
    (tmp_path / "in" / "clips" / "a.wav").write_bytes(b"four")
    elsewhere = tmp_path / "b.wav"
    manifest = tmp_path / "in" / "list.csv"
    manifest.write_text(
        f'licence,path,title\nCC0-1.0,clips/a.wav,"Müller, H.\n""x"""\n,{elsewhere},\n', encoding="utf-8"
    )
    assert find_sources([manifest]) == (
        [
            Source(f"{tmp_path}/in/clips/a.wav", 4, {"licence": "CC0-1.0", "title": 'Müller, H.\n"x"'}),
            Source(str(elsewhere), 0, {"licence": "", "title": ""}),  # missing: reading it will tell
        ],
        [],
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"path,title\na.wav,x\n"),
        ("a.CSV", b"\xef\xbb\xbfpath,title\r\na.wav,x\r\n"),  # as spreadsheets write it
        ("a.csv", b'\xef\xbb\xbf"path","title"\r\n"a.wav","x"'),
        ("a.csv", b"path,title\n\na.wav,x\n\n"),
        ("a.tsv", b"path\ttitle\na.wav\tx\n"),
        ("a.TSV", b"\xef\xbb\xbftitle\tpath\r\nx\ta.wav\r\n"),
    ],
)
def test_manifests_as_various_programs_write_them(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert find_sources([tmp_path / name])[0] == [Source(str(tmp_path / "a.wav"), 0, {"title": "x"})]


def test_a_comma_in_a_tsv_is_a_comma(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("path\tlabels\na,b.wav\tdog,cat\n")
    assert find_sources([tmp_path / "a.tsv"])[0] == [Source(str(tmp_path / "a,b.wav"), 0, {"labels": "dog,cat"})]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "a column named 'path' and at least one row"),
        (b"path\n", "a column named 'path' and at least one row"),
        (b"file,licence\na.wav,CC0-1.0\n", "a column named 'path'"),
        (b"path;licence\na.wav;CC0-1.0\n", "a column named 'path'"),
        (b"path,samples\na.wav,7\n", "columns of its own named samples; rename"),
        (b"path,shard,offset\na.wav,7,7\n", "columns of its own named offset, shard; rename"),
        (b"path,reason\na.wav,why\n", "columns of its own named reason; rename"),
        (b"path,a,b,a\nx.wav,1,2,3\n", "several columns named a; rename"),
        (b"path,a\nx.wav,1\ny.wav\n", "line 3 has not as many columns as the first"),
        (b'path,a\n\nx.wav,"1\n2"\ny.wav,1,2\n', "line 5 has not as many columns as the first"),
        (b'path,a\nx.wav,"1\ny.wav,2\n', r"cannot be read as a manifest, .* \(unexpected end of data\)"),
        (b'path,a\nx.wav,"1"2\n', "cannot be read as a manifest"),
        (b"path,a\nx.wav,\xe9\n", "cannot be read as a manifest, a CSV or TSV file in UTF-8"),
        ("path\na.wav\n".encode("utf-16"), "cannot be read as a manifest, a CSV or TSV file in UTF-8"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(PackError, match=rf"{tmp_path}/a\.csv: .*{complaint}"):
        find_sources([tmp_path / "a.csv"])


def test_a_path_with_nul_is_refused(tmp_path: Path) -> None:
    """Python 3.10 says so itself."""
    (tmp_path / "a.csv").write_bytes(b"path,a\nx.wav,1\ny\0.wav,1\n")
    with pytest.raises(PackError, match=r"a\.csv: .*NUL"):
        find_sources([tmp_path / "a.csv"])


# Files


def test_a_file_is_one_clip_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(3))
    assert clips_of(tmp_path / "a.wav", {"licence": "CC0-1.0"}) == [("", {"licence": "CC0-1.0"}, 3)]


# Tar shards


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


@pytest.mark.parametrize("name", ["s.tar", "s.tgz", "s.parquet", "s.arrow"])
@pytest.mark.parametrize("content", [b"", b"this is none of these, and longer than a header" * 20, None])
def test_what_is_no_tar_or_table_or_missing_is_reported(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ((_, about, reason),) = clips_of(tmp_path / name)
    assert about == {}
    assert str(reason).startswith("cannot be read to its end (")


# Tables


@pytest.mark.parametrize("name", ["t.parquet", "t.PARQUET", "t.arrow", "t.Arrow"])
def test_a_table_of_sounds(tmp_path: Path, name: str) -> None:
    """More rows than are read at once; bytes go before a path, which is looked for beside the table."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "7.wav").write_bytes(wav(7))
    audio: list[dict[str, Any] | None] = [{"bytes": wav(n + 1), "path": f"no/{n}.flac"} for n in range(40)]
    audio[2] = {"bytes": wav(3), "path": None}
    audio[6] = {"bytes": None, "path": "clips/7.wav"}
    path = tmp_path / name
    table_of(path.with_suffix(path.suffix.lower()), audio, label=range(40)).rename(path)
    clips = clips_of(path)
    expected = [(f"#{n}.flac", {"audio_path": f"no/{n}.flac", "label": str(n)}, n + 1) for n in range(40)]
    expected[2] = ("#2", {"audio_path": "", "label": "2"}, 3)
    expected[6] = ("#6.wav", {"audio_path": "clips/7.wav", "label": "6"}, 7)
    assert clips == expected


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_rows_without_a_sound_are_reported(tmp_path: Path, name: str) -> None:
    audio = [{"bytes": None, "path": None}, None, {"bytes": None, "path": "gone.wav"}, {"bytes": wav(1), "path": None}]
    assert clips_of(table_of(tmp_path / name, audio), {"source": "S"}) == [
        ("#0", {"source": "S", "audio_path": ""}, "neither bytes nor path"),
        ("#1", {"source": "S", "audio_path": ""}, "neither bytes nor path"),
        ("#2.wav", {"source": "S", "audio_path": "gone.wav"}, f"no bytes, and no file {tmp_path}/gone.wav"),
        ("#3", {"source": "S", "audio_path": ""}, 1),
    ]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_columns_of_one_value_are_kept(tmp_path: Path, name: str) -> None:
    """Not nested ones, nor dates: here one that Python has no value for."""
    path = table_of(
        tmp_path / name,
        [{"bytes": wav(1), "path": None}],
        text=["Größe"],
        number=[0.5],
        flag=[False],
        kind=pa.array(["x"]).dictionary_encode(),
        large=pa.array(["y"], pa.large_string()),
        reason=["mine"],
        nothing=pa.array([None], pa.string()),
        vector=[[1, 2]],
        nested=[{"a": 1}],
        when=pa.array([1], pa.timestamp("ns")),
    )
    ((_, about, _),) = clips_of(path, {"licence": "CC0-1.0", "text": "of all"})
    assert about == {
        "licence": "CC0-1.0",
        "audio_path": "",
        "text": "Größe",
        "number": "0.5",
        "flag": "False",
        "kind": "x",
        "large": "y",
        "reason_": "mine",
    }


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_table_without_audio_is_reported_once(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["a"] * 40, "audio": [{"bytes": b"", "rate": 1}] * 40})
    pq.write_table(table, tmp_path / "t.parquet")
    with pa.ipc.new_stream(str(tmp_path / "t.arrow"), table.schema) as stream:
        stream.write_table(table)
    assert clips_of(tmp_path / name) == [("", {}, "no column of audio, which is a struct of 'bytes' and 'path'")]


def test_a_table_without_rows_is_reported(tmp_path: Path) -> None:
    assert clips_of(table_of(tmp_path / "t.parquet", [])) == [("", {}, "holds no audio")]


def test_all_columns_of_audio_are_read_but_not_images(tmp_path: Path) -> None:
    """`datasets` stores an image as it stores audio, and says in the schema which is which."""
    image = pa.array([{"bytes": b"PNG", "path": "x.png"}] * 2, AUDIO)
    sounds = [pa.array([{"bytes": wav(n), "path": f"{n}.wav"} for n in pair], AUDIO) for pair in ((1, 2), (3, 4))]
    features = {"picture": {"_type": "Image"}, "noisy": {"_type": "Audio"}, "old": [{"dtype": "int32"}]}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"picture": image, "noisy": sounds[0], "clean": sounds[1], "n": [1, 2]})
    pq.write_table(table.replace_schema_metadata(said), tmp_path / "t.parquet")
    assert clips_of(tmp_path / "t.parquet") == [
        ("#0/noisy.wav", {"audio_path": "1.wav", "n": "1"}, 1),
        ("#0/clean.wav", {"audio_path": "3.wav", "n": "1"}, 3),
        ("#1/noisy.wav", {"audio_path": "2.wav", "n": "2"}, 2),
        ("#1/clean.wav", {"audio_path": "4.wav", "n": "2"}, 4),
    ]


def test_tables_of_odd_types_and_values_are_reported_row_by_row(tmp_path: Path) -> None:
    for number, audio in enumerate(
        (
            pa.array([{"bytes": "text", "path": "x"}] * 2),
            pa.array([{"bytes": [1, 2], "path": 5}] * 2),
            pa.array([{"bytes": None, "path": "a\0b.w\0v"}, {"bytes": None, "path": "x" * 5000}], AUDIO),
        )
    ):
        pq.write_table(pa.table({"audio": audio}), tmp_path / f"{number}.parquet")
        reasons = [str(result) for *_, result in clips_of(tmp_path / f"{number}.parquet")]
        assert [reason.split()[0] for reason in reasons] == (["no", "no"] if number == 2 else ["its", "its"])


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_text_in_a_table_that_is_not_utf_8_is_reported(tmp_path: Path, name: str) -> None:
    text = pa.array([b"\xff"]).view(pa.string())
    ((_, _, reason),) = clips_of(table_of(tmp_path / name, [{"bytes": wav(1), "path": None}], text=text))
    assert str(reason).startswith("cannot be read to its end ('utf-8' codec can't decode")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.tar"])
def test_a_name_that_is_not_utf_8_of_what_holds_clips(tmp_path: Path, name: str) -> None:
    if name == "t.tar":
        tar_of(tmp_path / name, {"a.wav": wav(1)})
    else:
        table_of(tmp_path / name, [{"bytes": wav(1), "path": None}])
    odd = (tmp_path / name).rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff" + name.encode())))
    (clip,) = read_clips(Source(str(odd), 0), tmp_path)
    assert clip.name.startswith(f"{tmp_path}/\\xff{name}")
    assert isinstance(clip.file, Path)


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    audio = pa.array([{"bytes": wav(1), "path": None}], AUDIO)
    pq.write_table(pa.table([audio, pa.array(["a"]), pa.array(["b"])], ["audio", "x", "x"]), tmp_path / "t.parquet")
    assert clips_of(tmp_path / "t.parquet") == [("#0", {"audio_path": "", "x": "b"}, 1)]


def test_the_rows_before_the_damage_of_a_table_are_kept(tmp_path: Path) -> None:
    schema = pa.schema([("audio", AUDIO)])
    with pa.ipc.new_stream(str(tmp_path / "t.arrow"), schema) as stream:
        for n in range(1, 4):
            stream.write_batch(pa.record_batch([pa.array([{"bytes": wav(n), "path": None}], AUDIO)], schema=schema))
    content = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(content[:-60])
    *clips, (name, _, reason) = clips_of(tmp_path / "t.arrow")
    assert clips == [("#0", {"audio_path": ""}, 1), ("#1", {"audio_path": ""}, 2)]
    assert (name, str(reason)[:25]) == ("", "cannot be read to its end")


def test_a_cut_parquet_table_is_reported(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t.parquet", [{"bytes": wav(1), "path": None}])
    path.write_bytes(path.read_bytes()[:-20])
    ((name, _, reason),) = clips_of(path)
    assert (name, str(reason)[:25]) == ("", "cannot be read to its end")


# The disk


@pytest.mark.parametrize("name", ["s.tar", "t.parquet"])
def test_a_full_disk_is_no_fault_of_the_clip(tmp_path: Path, name: str) -> None:
    """A real failure to write the temporary file; to reject the clip would lose it."""
    content = wav(50000)
    if name == "s.tar":
        path = tar_of(tmp_path / name, {"a.wav": content})
    else:
        path = table_of(tmp_path / name, [{"bytes": content, "path": None}])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            list(read_clips(Source(str(path), 0), tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == [name]
