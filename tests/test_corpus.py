"""Finding files, and embedding them into a table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear import Embedder
from selfie_hear.audio import AudioError
from selfie_hear.corpus import Listener, embed_files, find_files
from selfie_hear.tables import open_table
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


def test_progress_within_and_after_files(folder: Path, tmp_path: Path, tiny: Embedder) -> None:
    soundfile.write(folder / "long.wav", np.zeros(16000 * 150), 16000)
    (folder / "bad.wav").write_text("not audio")
    seen: list[tuple[float, float]] = []
    files = [folder / "b.wav", folder / "bad.wav", folder / "long.wav"]
    with open_table(tmp_path / "out.npz", tiny.scene_embedding_size, False) as table:
        failures = embed_files(Listener(tiny, lambda done, seconds: seen.append((done, seconds))), files, table, False)
    assert len(failures) == 1
    assert seen == sorted(seen)
    assert any(2.2 < done < 2.8 for done, _ in seen)
    assert seen[-1] == (3, pytest.approx(150 + 3000 / 16000))


def test_names_that_are_not_text_reach_the_table(tmp_path: Path, tiny: Embedder) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(os.fsencode(tmp_path / "in") + b"/\xff.wav", noise(3000).numpy(), 16000)
    files, _ = find_files([str(tmp_path / "in")])
    for extension in (".npz", ".csv", ".parquet"):
        with open_table(tmp_path / f"out{extension}", tiny.timestamp_embedding_size, True) as table:
            assert embed_files(Listener(tiny, lambda *_: None), files, table, True) == []
    assert "\\xff.wav" in (tmp_path / "out.csv").read_text()
