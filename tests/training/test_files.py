"""Files and folders that appear whole or not at all, with writes that fail on the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training.files import appears_whole, whole_folder, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with appears_whole(path) as file:
        file.write(b"first ")
        file.flush()
        assert not path.exists()
        file.write(b"second")
    assert path.read_bytes() == b"first second"
    assert names(tmp_path) == ["a.bin"]


def test_what_was_written_can_be_read_back_and_cut(tmp_path: Path) -> None:
    """As packing does with a clip that proves damaged at its end."""
    with appears_whole(tmp_path / "a.bin") as file:
        file.write(b"kept, dropped")
        file.seek(4)
        file.truncate()
        file.write(b"!")
        file.seek(0)
        assert file.read() == b"kept!"
    assert (tmp_path / "a.bin").read_bytes() == b"kept!"


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with appears_whole(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), appears_whole(path) as file:
        file.write(b"half of the ne")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_the_whole_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut could leave the name with half of the content."""
    seen = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append((os.fstat(fd).st_size, (tmp_path / "a.txt").exists())))
    write_whole(tmp_path / "a.txt", "seven b")
    assert seen == [(7, False)]


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.partial-1").write_text("half")
    write_whole(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert (tmp_path / ".a.txt.partial-1").exists()  # it may be another's who is writing now


def test_text_is_utf_8_without_conversion_of_line_ends(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "Grüße\r\nあ\n")
    assert (tmp_path / "a.txt").read_bytes() == "Grüße\r\nあ\n".encode()


def test_text_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.txt", "\udcff")
    assert names(tmp_path) == []
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "a.txt", "new \ud800")
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_of_a_link_the_file_that_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "a.txt")
    for text in ("first", "second"):
        write_whole(link, text)
        assert link.is_symlink()
        assert (tmp_path / "there" / "a.txt").read_text() == text
    assert names(tmp_path / "there") == ["a.txt"]


@pytest.mark.parametrize("name", ["a" * 255, "\u3042" * 85])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, "whole")
    assert names(tmp_path) == [name]


def test_a_folder_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*a\.txt"):
        write_whole(tmp_path / "nowhere" / "a.txt", "text")


def test_a_folder_appears_with_all_that_was_put_in(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as partial:
        (partial / "a.txt").write_text("a")
        assert not out.exists()
    assert names(out) == ["a.txt"]
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_folder_that_is_not_finished_goes(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), whole_folder(tmp_path / "out") as partial:
        (partial / "a.txt").write_text("a")
        raise error
    assert names(tmp_path) == []


def test_a_folder_that_has_something_in_it_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OSError, match="out"), whole_folder(out) as partial:
        (partial / "a.txt").write_text("a")
    assert names(out) == ["mine.txt"]
    assert names(tmp_path) == ["out"]
