"""Lists of files: manifests, folders and globs, each file once, in a Parquet file by shards."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfie_hear.audio import AudioError
from selfie_hear.corpus.manifest import FileList, each_file


def listed(tmp_path: Path, *sources: object, shard_size: int = 2) -> list[list[str]]:
    path = tmp_path / "list.parquet"
    with path.open("wb") as file:
        count = FileList.write(each_file([str(source) for source in sources], []), file, shard_size, tmp_path)
    shards = [FileList(path).shard(number) for number in range(-(-count // shard_size))]
    assert sum(map(len, shards)) == count
    return shards


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def test_manifests_of_three_kinds_are_relative_to_themselves(tmp_path: Path) -> None:
    sub = tmp_path / "sub"
    write(sub / "a.csv", 'label,path\ndog,"x,1.wav"\ncat,ü.wav\n\n', "utf-8-sig")
    write(sub / "b.tsv", "path\tlabel\nx,1.wav\tdog\nz.wav\tcat\n")
    pq.write_table(pa.table({"n": [1, 2], "path": ["deep/w.wav", str(tmp_path / "v.wav")]}), sub / "c.parquet")
    found = listed(tmp_path, sub / "a.csv", sub / "b.tsv", sub / "c.parquet")
    names = [sub / "x,1.wav", sub / "ü.wav", sub / "z.wav", sub / "deep/w.wav", tmp_path / "v.wav"]
    assert found == [list(map(str, names[:2])), list(map(str, names[2:4])), [str(names[4])]]


def test_each_file_once_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        write(tmp_path / "in" / name, "")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    manifest = write(tmp_path / "m.csv", "path\nlink/b.wav\nin/../in/a.wav\nin/sub/c.wav\nin/a.wav\n")
    inside = tmp_path / "in"
    everything = [str(inside / "a.wav"), str(inside / "b.wav"), str(inside / "sub/c.wav")]
    assert listed(tmp_path, "in", manifest, "in/*.wav", "link/sub", shard_size=9) == [everything]
    first_named = [str(tmp_path / "link/b.wav"), str(inside / "a.wav"), str(inside / "sub/c.wav")]
    assert listed(tmp_path, manifest, "in", shard_size=9) == [first_named]


def test_many_paths_against_a_plain_set(tmp_path: Path) -> None:
    """More than one block of the spool, with duplicates far apart."""
    names = [f"{'long/' * 20}{number * number % 7919}.wav" for number in range(20_000)]
    manifest = write(tmp_path / "m.csv", "path\n" + "\n".join(names))
    expected = [str(tmp_path / name) for name in dict.fromkeys(names)]
    assert [path for shard in listed(tmp_path, manifest, shard_size=512) for path in shard] == expected


def test_names_that_are_not_text(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)  # noqa: PTH102
    for name in (b"\xff.wav", b"new\nline.wav"):
        with open(folder + b"/" + name, "wb"):  # noqa: PTH123
            pass
    ((first, second),) = listed(tmp_path, tmp_path / "in")
    assert {os.fsencode(first), os.fsencode(second)} == {folder + b"/\xff.wav", folder + b"/new\nline.wav"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "file,label\na.wav,dog\n", "column named 'path'; its columns are file, label"),
        ("m.csv", "", "its columns are none"),
        ("m.csv", "path\n", "lists no files"),
        ("m.csv", "path,label\na.wav,dog\nb.wav\n", "line 3 has 1 columns, not 2"),
        ("m.csv", "path,label\n,dog\n", "line 2 has '' for a path"),
        ("m.tsv", 'path\n"a.wav\n', "cannot be read as a manifest"),
        ("m.parquet", "not parquet", "cannot be read as a manifest"),
        ("nothing", None, "no such file"),
    ],
)
def test_bad_manifests(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        write(tmp_path / name, text)
    with pytest.raises(AudioError, match=message):
        listed(tmp_path, tmp_path / name)


def test_parquet_manifests_without_paths(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["a.wav"]}), tmp_path / "m.parquet")
    with pytest.raises(AudioError, match="its columns are file"):
        listed(tmp_path, tmp_path / "m.parquet")
    pq.write_table(pa.table({"path": ["a.wav", None]}), tmp_path / "m.parquet")
    with pytest.raises(AudioError, match="row 1 has '' for a path"):
        listed(tmp_path, tmp_path / "m.parquet")
