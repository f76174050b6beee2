"""Manifests of whatever corpus: their paths, their columns, and that they are written whole or not at all."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from tests.training.corpora import MUSIC, SPEECH, names_of, rows_of, touch, write_fsd50k, write_segments
from training.corpus.manifests import ManifestCount, ManifestError, audioset, fsd50k


def test_a_count_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ManifestCount(3, 2, 1).found = 3  # type: ignore[misc]


def test_no_column_has_a_name_that_the_index_of_a_pack_needs_itself(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "eval_segments.csv", ("aaaaaaaaaaa", "0.000", MUSIC))
    audioset([table], touch(tmp_path / "clips", "aaaaaaaaaaa.wav"), tmp_path / "a.csv")
    fsd50k(write_fsd50k(tmp_path / "fsd"), tmp_path / "f.csv")
    for manifest in ("a.csv", "f.csv"):
        (row, *_) = rows_of(tmp_path / manifest)
        assert list(row)[:3] == ["path", "source", "licence"]
        assert not {"shard", "offset", "samples", "reason"} & set(row)


def test_paths_are_relative_to_the_manifest_wherever_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "data" / "clips", "aaaaaaaaaaa.wav")
    (tmp_path / "lists" / "mine").mkdir(parents=True)
    for out, expected in (
        (tmp_path / "lists" / "mine" / "out.csv", "../../data/clips/aaaaaaaaaaa.wav"),
        (tmp_path / "data" / "out.csv", "clips/aaaaaaaaaaa.wav"),
        (clips / "out.csv", "aaaaaaaaaaa.wav"),
    ):
        audioset([table], clips, out)
        assert [row["path"] for row in rows_of(out)] == [expected]
    monkeypatch.chdir(tmp_path / "data")
    audioset([table], Path("clips"), Path("here.csv"))
    assert [row["path"] for row in rows_of(Path("here.csv"))] == ["clips/aaaaaaaaaaa.wav"]


def test_paths_are_absolute_where_the_clips_are_on_another_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def relpath(path: str, start: str) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "relpath", relpath)
        audioset([table], clips, tmp_path / "out.csv")
    assert [row["path"] for row in rows_of(tmp_path / "out.csv")] == [str(clips / "aaaaaaaaaaa.wav")]


def test_links_to_folders_are_followed_once_and_lead_to_the_clips(tmp_path: Path) -> None:
    """The manifest is in a folder behind a link, so is one of the clips, and one link leads round in a circle."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "more.wav")
    (touch(tmp_path / "disk" / "two", "bbbbbbbbbbb.wav") / "back").symlink_to(clips)
    (clips / "eval").symlink_to(tmp_path / "disk" / "two")
    (clips / "again").symlink_to(clips)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "lists").symlink_to(tmp_path / "deep" / "er")
    out = tmp_path / "lists" / "out.csv"
    assert audioset([table], clips, out) == ManifestCount(2, 2, 1)
    found = [out.parent / row["path"] for row in rows_of(out)]
    assert found[0].samefile(clips / "aaaaaaaaaaa.wav")
    assert found[1].samefile(tmp_path / "disk" / "two" / "bbbbbbbbbbb.wav")


def test_the_manifest_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all is written, nothing, or the manifest of last time, is under the name."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "bbbbbbbbbbb.wav")
    out = tmp_path / "out.csv"
    written: list[str] = []

    def refuse(partial: Path, target: Path) -> Path:
        written.append(partial.read_text())
        raise OSError("no renaming today")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="no renaming today"):
            audioset([table], clips, out)
        assert not out.exists()
    audioset([table], clips, out)
    before = out.read_text()
    assert written == [before]

    (clips / "aaaaaaaaaaa.wav").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="no renaming today"):
            audioset([table], clips, out)
    assert out.read_text() == before

    audioset([table], clips, out)
    assert names_of(out) == ["bbbbbbbbbbb.wav"]


def test_a_manifest_that_pack_would_not_read_or_that_would_replace_a_table_is_refused(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    before = table.read_bytes()
    for out in (tmp_path / "out.txt", tmp_path / "nowhere" / "out.csv", clips / ".." / "s.csv"):
        with pytest.raises(ManifestError, match=r"a manifest is a file \*\.csv in a folder that exists"):
            audioset([table], clips, out)
    folder = write_fsd50k(tmp_path / "fsd")
    with pytest.raises(ManifestError, match=r"none of its sources"):
        fsd50k(folder, folder / "FSD50K.ground_truth" / "dev.csv")
    assert table.read_bytes() == before


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8: pack could not read them from the manifest."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    try:
        touch(clips / os.fsdecode(b"caf\xe9"), "bbbbbbbbbbb.wav")
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    with pytest.raises(ManifestError, match=r"UTF-8 cannot hold 'clips/caf\\udce9"):
        audioset([table], clips, tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "s.csv"]


def test_a_folder_that_cannot_be_searched_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its clips would be missing from the manifest without a word."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "locked/bbbbbbbbbbb.wav")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(ManifestError, match=r"locked: cannot be searched for audio \(Permission denied\)"):
        audioset([table], clips, tmp_path / "out.csv")


def test_no_file_is_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million look-ups on a network disk take hours: folders are listed, files are not asked for."""
    ids = [f"{number:011d}" for number in range(200)]
    table = write_segments(tmp_path / "s.csv", *((ytid, "0.000", SPEECH) for ytid in ids))
    clips = touch(tmp_path / "clips", *(f"{ytid[-1]}/{ytid}.wav" for ytid in ids))
    asked: list[str] = []
    for name in ("stat", "lstat"):
        function = getattr(os, name)

        def counted(path: object, *args: object, function: object = function, **kwargs: object) -> object:
            asked.append(str(path))
            return function(path, *args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(os, name, counted)
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(200, 200, 0)
    assert asked and not [path for path in asked if path.endswith(".wav")]
