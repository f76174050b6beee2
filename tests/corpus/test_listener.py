"""Some files into one table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear import Embedder
from selfie_hear.corpus import Listener, embed_files, find_files
from selfie_hear.tables import open_table
from tests.conftest import noise


def test_progress_within_and_after_files(tmp_path: Path, tiny: Embedder) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "b.wav", noise(3000).numpy(), 16000)
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
