"""The installed `selfie-hear` command on real files, by subprocess."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.audio import read_audio
from selfie_hear.pretrained import DEFAULT
from tests.conftest import RunHere, noise

COMMAND = Path(sys.executable).with_name("selfie-hear")


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def test_embed_a_folder_with_a_bad_file(tmp_path: Path, examples: list[Path], model: Embedder) -> None:
    folder = tmp_path / "sounds" / "deep"
    folder.mkdir(parents=True)
    for path in examples:
        (folder / path.name).write_bytes(path.read_bytes())
    whole = (folder / "dog_1.ogg").read_bytes()
    (folder / "dog_1.ogg").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("not audio, not tried")
    result = run("embed", tmp_path / "sounds", "-o", tmp_path / "out.npz")
    assert result.returncode == 1
    assert "not embedded" in result.stderr
    assert "dog_1.ogg: " in result.stderr
    assert "Traceback" not in result.stderr
    with np.load(tmp_path / "out.npz") as out:
        assert [Path(p).name for p in out["paths"]] == [p.name for p in examples if p.name != "dog_1.ogg"]
        for path, values in zip(out["paths"], out["embeddings"], strict=True):
            audio = torch.from_numpy(read_audio(str(path), 16000))
            np.testing.assert_allclose(values, get_scene_embeddings([audio], model)[0].numpy(), atol=1e-5)


def test_embed_timestamps_of_a_glob_at_another_rate(tmp_path: Path, model: Embedder) -> None:
    soundfile.write(tmp_path / "a.wav", noise(48000 * 2).numpy(), 48000)
    soundfile.write(tmp_path / "b.wav", noise(8000 * 25).numpy(), 8000)
    result = run("embed", "?.wav", "--timestamps", "--window", 200, "-o", "out.npz", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    model_200 = Embedder(model.config)
    model_200.load_state_dict(model.state_dict())
    model_200.timestamp_window_ms = 200.0
    with np.load(tmp_path / "out.npz") as out:
        assert out["paths"].tolist() == ["a.wav", "b.wav"]
        for index, name in enumerate(("a.wav", "b.wav")):
            audio = torch.from_numpy(read_audio(tmp_path / name, 16000))
            embeddings, times = get_timestamp_embeddings([audio], model_200)
            rows = out["file_index"] == index
            np.testing.assert_allclose(out["timestamps_ms"][rows], times[0].numpy())
            np.testing.assert_allclose(out["embeddings"][rows], embeddings[0].numpy(), atol=1e-5)


def test_a_file_that_ends_badly_leaves_no_timestamps(tmp_path: Path, examples: list[Path]) -> None:
    good = examples[0]
    bad = tmp_path / "bad.flac"
    soundfile.write(bad, noise(16000 * 60).numpy(), 16000)
    bad.write_bytes(bad.read_bytes()[:-5000])
    result = run("embed", bad, good, "--timestamps", "-o", tmp_path / "out.csv", "--branch", "target")
    assert result.returncode == 1
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0].startswith("path,timestamp_ms,e0,e1,")
    assert len(lines) > 20
    assert all(line.startswith(str(good)) for line in lines[1:])


def test_search_uses_the_model_of_the_table(tmp_path: Path, examples: list[Path]) -> None:
    """A manifest into a folder with the other branch and precision, and what is most like a dog in it."""
    (tmp_path / "list.csv").write_text("path\n" + "\n".join(map(str, examples)))
    settings = ("--branch", "target", "--precision", "bf16")
    result = run("embed", "list.csv", "-o", "col", *settings, "--workers", "0", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "col: 6 of 6 files embedded, in 1 parts" in result.stderr
    result = run("search", examples[0], examples[2], "--in", "col", "-k", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [lines[0], lines[3]] == [f"{examples[0]}:", f"{examples[2]}:"]
    assert lines[1] == f"+1.000  {examples[0]}"
    assert lines[2].endswith(f"  {examples[1]}")
    assert lines[5].endswith(f"  {examples[3]}")
    result = run("search", examples[0], "--in", "col", "--branch", "online", cwd=tmp_path)
    assert result.returncode == 1
    assert "holds model" in result.stderr


def test_similarity_of_the_examples_pairs_them(examples: list[Path]) -> None:
    result = run("similarity", *examples)
    assert result.returncode == 0, result.stderr
    nearest = [line.split("│")[-2].strip() for line in result.stdout.splitlines() if line.startswith("│")]
    assert nearest == ["dog_2", "dog_1", "piano_e4", "piano_c3", "speech_2", "speech_1"]


def test_similarity_prints_names_as_they_are(tmp_path: Path, examples: list[Path]) -> None:
    for name, path in zip(("[red]x", ":dog:", "plain"), examples, strict=False):
        (tmp_path / f"{name}{path.suffix}").write_bytes(path.read_bytes())
    result = run("similarity", ".", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("[red]x", ":dog:", "plain"):
        assert name in result.stdout


def test_help_shows_revisions() -> None:
    assert "[@REVISION]" in run("embed", "--help").stdout


def test_models_lists_the_default(tmp_path: Path) -> None:
    result = run("models", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for row in (("selfie-open10h", "3072", "6.33 M", "12.8 MB"), (DEFAULT, "default", "3584", "3.18 M", "6.5 MB")):
        assert all(word in result.stdout for word in (*row, "CC-BY-4.0"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embed", "nowhere.wav", "-o", "out.npz"], "nowhere.wav: no such file"),
        (["embed", ".", "-o", "out.npz"], "no audio files"),
        (["embed", "text.wav", "-o", "out.npz"], "cannot be read as audio"),
        (["embed", "text.wav", "-o", "out.json"], "must end in .npz, .csv, .parquet"),
        (["embed", "text.wav", "-o", "out.npz", "--model", "nonesuch"], "bundled name (selfie-open10h"),
        (["embed", "text.wav", "-o", "out.npz", "--branch", "both"], "branches are online, target"),
        (["embed", "text.wav", "-o", "out.npz", "--device", "abacus"], "--device abacus"),
        (["embed", "text.wav", "-o", "out.npz", "--window", "100"], "--window goes with --timestamps"),
        (["embed", "text.wav", "-o", "out.npz", "--timestamps", "--window", "inf"], "at most 60000 ms"),
        (["embed", "text.wav", "-o", "nowhere/out.npz"], "does not exist"),
        (["embed", "text.wav", "-o", "out.npz", "--dtype", "float16"], "go with a folder: -o OUT/"),
        (["embed", "text.wav", "-o", "folder/", "--engine", "abacus"], "known are local, ray"),
        (["embed", "nowhere.csv", "-o", "folder"], "nowhere.csv: no such file"),
        (["search", "text.wav", "--in", "nowhere.npz"], "nowhere.npz: no such file or folder"),
        (["similarity", "text.wav"], "at least three"),
    ],
)
def test_errors_are_for_people(tmp_path: Path, run_here: RunHere, words: list[str], message: str) -> None:
    """In this process, which is faster than one each; the tests above see what a process of its own says."""
    if "." not in words:
        (tmp_path / "text.wav").write_text("not audio")
    code, said = run_here(*words)
    assert code == 1
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*out*"))
