"""Finding what can be packed, in folders and manifests, and reading clips from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.training.disks import full_disk, unreadable
from tests.training.sources import clips_of, table_of, tar_of, wav
from training.corpus.shards import PackError
from training.corpus.sources import Source, find_sources, read_clips


def found(*paths: Path) -> list[str]:
    sources, failures = find_sources(paths)
    assert failures == []
    return [source.path for source in sources]


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


# Of every kind


def test_a_file_is_one_clip_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(3))
    assert clips_of(tmp_path / "a.wav", {"licence": "CC0-1.0"}) == [("", {"licence": "CC0-1.0"}, 3)]


@pytest.mark.parametrize("name", ["s.tar", "s.tgz", "s.parquet", "s.arrow"])
@pytest.mark.parametrize("content", [b"", b"this is none of these, and longer than a header" * 20, None])
def test_what_is_no_tar_or_table_or_missing_is_reported(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ((_, about, reason),) = clips_of(tmp_path / name)
    assert about == {}
    assert str(reason).startswith("cannot be read to its end (")


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


@pytest.mark.parametrize("name", ["s.tar", "t.parquet"])
def test_a_full_disk_is_no_fault_of_the_clip(tmp_path: Path, name: str) -> None:
    """A real failure to write the temporary file; to reject the clip would lose it."""
    content = wav(50000)
    if name == "s.tar":
        path = tar_of(tmp_path / name, {"a.wav": content})
    else:
        path = table_of(tmp_path / name, [{"bytes": content, "path": None}])
    with full_disk(20000), pytest.raises(OSError, match="File too large"):
        list(read_clips(Source(str(path), 0), tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]
