"""Finding files in folders and globs."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from selfie_hear.audio import AudioError
from selfie_hear.corpus import find_files
from tests.conftest import noise


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.FLAC", "deep/c.ogg", ".hidden.wav", ".git/d.wav", "[x].wav"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(3000).numpy(), 16000)
    (tmp_path / "in" / "notes.txt").write_text("no")
    return tmp_path / "in"


def names(files: list[Path]) -> list[str]:
    return [path.name for path in files]


def test_folders_are_searched(folder: Path) -> None:
    files, failures = find_files([str(folder)])
    assert names(files) == ["[x].wav", "a.FLAC", "b.wav", "c.ogg"]
    assert failures == []


def test_files_globs_and_each_once(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "same.wav").symlink_to(folder / "b.wav")
    files, _ = find_files(
        [str(folder / "b.wav"), f"{folder}/deep/../b.wav", f"{folder}/**/*.wav", str(folder / "[x].wav")]
    )
    assert names(files) == ["b.wav", "[x].wav"]


@pytest.mark.parametrize("text", ["", "nowhere", "nowhere/*.wav", "x" * 5000])
def test_what_is_not_there_is_an_error(text: str) -> None:
    with pytest.raises(AudioError, match="no such file"):
        find_files([text])
