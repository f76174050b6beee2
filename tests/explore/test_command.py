"""`selfie-hear explore`, as it is called."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RunHere
from tests.explore.reading import Page


def test_a_folder_then_its_table_make_the_same_map(tmp_path: Path, examples: list[Path], run_here: RunHere) -> None:
    (tmp_path / "sounds").mkdir()
    for path in examples:
        (tmp_path / "sounds" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "sounds" / "bad.wav").write_text("not audio")
    (tmp_path / "labels.csv").write_text("path,kind\nsounds/dog_1.ogg,animal\nsounds/dog_2.ogg,animal\n")
    code, said = run_here("explore", "sounds", "--labels", "labels.csv")
    assert code == 1
    assert "not embedded: sounds/bad.wav: " in said and "explore.html: map, 0." in said
    text = (tmp_path / "explore.html").read_text(encoding="utf-8")
    data = Page(text).data
    assert Page(text).texts["title"] == "sounds"
    names = [sound["name"] for sound in data["sounds"]]
    assert names == [path.name for path in examples]
    assert names[data["sounds"][names.index("dog_1.ogg")]["near"][0][0]] == "dog_2.ogg"
    assert data["groupings"][0]["categories"] == ["animal", "(none)"]
    run_here("embed", "sounds", "-o", "sounds.npz")
    code, said = run_here("explore", "sounds.npz", "--labels", "labels.csv", "--title", "sounds")
    assert code == 0, said
    assert "in place of the file that was there" in said
    assert (tmp_path / "explore.html").read_text(encoding="utf-8") == text


def test_one_recording_makes_a_timeline(tmp_path: Path, examples: list[Path]) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "one.flac").write_bytes(examples[-1].read_bytes())
    command = [Path(sys.executable).with_name("selfie-hear"), "explore", "a folder", "-o", "out.html", "--link-audio"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "out.html: timeline, 0." in result.stderr
    page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert page.texts["title"] == "one.flac"
    assert page.data["url"] == "a%20folder/one.flac"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such file"),
        (["a.wav", "-o", "a.png"], "a.png: the output must end in .html"),
        (["a.wav", "--preview-seconds", "0"], "--preview-seconds: expected 0.1 to 60, got 0"),
        (["a.wav", "--max-mb", "nan"], "--max-mb: expected 1 or more"),
        (["a.wav"], "a.wav: cannot be read as audio"),
        (["a.wav", "b.wav"], "a map needs three sounds or more, got 0"),
        (["a.wav", "--labels", "x.csv"], "--labels goes with a map"),
        (["a.npz"], "a.npz: not a table of embeddings"),
    ],
)
def test_errors_are_for_people(tmp_path: Path, words: list[str], message: str, run_here: RunHere) -> None:
    for name in ("a.wav", "b.wav", "a.npz"):
        (tmp_path / name).write_text("not audio")
    code, said = run_here("explore", *words)
    assert code == 1
    assert said.startswith("error: ")
    assert message in said
    assert not list(tmp_path.glob("*.html"))
