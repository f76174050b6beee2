"""What sounds can be coloured by."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfie_hear.explore.labels import NONE, grouping, read_labels, relative_names
from selfie_hear.explore.page import PageError


def sounds(folder: Path) -> list[str]:
    return [str(folder / "in" / name) for name in ("a.wav", "deep/b.wav", "deep/c.wav")]


def test_names_are_relative_to_what_they_share(tmp_path: Path) -> None:
    assert relative_names(sounds(tmp_path)) == (str(tmp_path / "in"), ["a.wav", "deep/b.wav", "deep/c.wav"])
    assert relative_names([str(tmp_path / "x.wav")]) == (str(tmp_path), ["x.wav"])


def test_categories_are_in_the_order_of_the_alphabet_and_none_is_last() -> None:
    found = grouping("kind", ["b", NONE, "a", "b"])
    assert (found.name, found.categories, found.of) == ("kind", ["a", "b", NONE], [1, 2, 0, 1])


@pytest.mark.parametrize("path", ["{}/in/deep/b.wav", "in/deep/b.wav", "deep/b.wav", "./in/../in/deep/b.wav"])
def test_a_row_names_a_sound_in_several_ways(tmp_path: Path, path: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"\ufeffnote,path,kind\nloud,{path.format(tmp_path)},Bär\n,elsewhere.wav,x\n", encoding="utf-8")
    note, kind = read_labels(file, sounds(tmp_path), str(tmp_path / "in"))
    assert (note.name, note.categories, note.of) == ("note", ["loud", NONE], [1, 0, 1])
    assert (kind.name, kind.categories, kind.of) == ("kind", ["Bär", NONE], [1, 0, 1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,label\na.wav,x\n", "needs a column 'path' and others to colour by; its columns are file, label"),
        (b"path\na.wav\n", "its columns are path"),
        (b"", "its columns are none"),
        (b"path,label\nin/a.wav,x\n./in/a.wav,y\n", "names ./in/a.wav twice"),
        (b"path,label\nnowhere.wav,x\n", "names none of the 3 sounds; the first of them is "),
        (b"path,label\n\xff.wav,x\n", "cannot be read as CSV in UTF-8"),
        (None, "cannot be read as CSV"),
    ],
)
def test_errors_are_for_people(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(PageError) as caught:
        read_labels(tmp_path / "labels.csv", sounds(tmp_path), str(tmp_path / "in"))
    assert message in str(caught.value)


def test_rows_shorter_and_longer_than_the_header(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nin/a.wav\nin/deep/b.wav,x,more\n")
    (label,) = read_labels(tmp_path / "labels.csv", sounds(tmp_path), "")
    assert (label.categories, label.of) == (["x", NONE], [1, 0, 1])
