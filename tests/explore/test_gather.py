"""Sounds from a table of embeddings, or fresh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from selfie_hear import Embedder
from selfie_hear.corpus import Listener, embed_files
from selfie_hear.explore.gather import embed_sounds, is_table, read_sounds
from selfie_hear.explore.page import PageError
from selfie_hear.tables import open_table
from tests.explore.sounds import write_tones


@pytest.mark.parametrize("extension", [".npz", ".csv", ".parquet"])
def test_a_table_says_the_same_as_the_files(
    tmp_path: Path, tiny: Embedder, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tones(tmp_path / "data", ["in/a.wav", "in/b.wav"])
    monkeypatch.chdir(tmp_path / "data")
    files = [Path("in/a.wav"), Path("in/b.wav")]
    listener = Listener(tiny, lambda *_: None)
    with open_table(Path(f"out{extension}"), tiny.scene_embedding_size, False) as table:
        assert embed_files(listener, files, table, False) == []
    Path("bad.wav").write_text("no")
    paths, values, failures = embed_sounds([*files, Path("bad.wav")], listener)
    assert paths == ["in/a.wav", "in/b.wav"] and len(failures) == 1
    read, stored = read_sounds(Path(f"out{extension}"))
    assert read == paths
    np.testing.assert_allclose(stored, values, rtol=1e-6)
    monkeypatch.chdir(tmp_path)
    assert read_sounds(Path(f"data/out{extension}"))[0] == ["data/in/a.wav", "data/in/b.wav"]
    Path("data/in/a.wav").unlink()
    assert read_sounds(Path(f"data/out{extension}"))[0] == ["in/a.wav", "data/in/b.wav"]


def test_a_table_of_timestamps_makes_no_map(tmp_path: Path, tiny: Embedder) -> None:
    files = write_tones(tmp_path, ["a.wav"])
    with open_table(tmp_path / "out.npz", tiny.timestamp_embedding_size, True) as table:
        embed_files(Listener(tiny, lambda *_: None), files, table, True)
    with pytest.raises(PageError, match="embed without --timestamps"):
        read_sounds(tmp_path / "out.npz")


def test_no_file_that_can_be_read(tmp_path: Path, tiny: Embedder) -> None:
    (tmp_path / "a.wav").write_text("no")
    paths, values, failures = embed_sounds([tmp_path / "a.wav"], Listener(tiny, lambda *_: None))
    assert (paths, values.shape, len(failures)) == ([], (0, tiny.scene_embedding_size), 1)


def test_what_is_a_table(tmp_path: Path) -> None:
    assert is_table(Path("a.npz")) and is_table(Path("a.PARQUET"))
    assert not is_table(Path("a.wav")) and not is_table(tmp_path)
    (tmp_path / "_plan.json").write_text("{}")
    assert is_table(tmp_path)
