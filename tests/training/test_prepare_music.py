"""GTZAN, NSynth and Surge in miniature, as they are distributed, made tasks and read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.test_prepare import refusal, rejected_in, sound, task_of


def gtzan(source: Path, end: str, lists: dict[str, str]) -> Path:
    for genre in ("blues", "jazz", "rock"):
        for number in (0, 1, 2, 54):
            sound(source / "genres" / genre / f"{genre}.000{number:02d}{end}", 30.1 if number == 0 else 0.5, 22050)
    for split, text in lists.items():
        (source / f"{split}_filtered.txt").write_text(text)
    return source


PATHS = {
    "train": "blues/blues.00000.wav\njazz/jazz.00000.wav\njazz/jazz.00054.wav\n",
    "valid": "blues/blues.00001.wav\n", "test": "jazz/jazz.00002.wav\n",
}  # fmt: skip
NUMBERS = {"train": "           1\n         501\n         555\n", "valid": "2", "test": " 503\n"}


@pytest.mark.parametrize(("end", "lists"), [(".wav", PATHS), (".au", NUMBERS)])
def test_gtzan(tmp_path: Path, end: str, lists: dict[str, str]) -> None:
    source = gtzan(tmp_path / "gtzan", end, lists)
    (source / "genres" / "jazz" / f"jazz.00054{end}").write_bytes(b"\0" * 1000)
    task = task_of("gtzan", source, tmp_path / "tasks", rejected=1)
    assert task == {
        "train": {"blues.00000.wav": "blues", "jazz.00000.wav": "jazz"},
        "valid": {"blues.00001.wav": "blues"}, "test": {"jazz.00002.wav": "jazz"},
    }  # fmt: skip
    assert rejected_in(tmp_path / "tasks" / "gtzan")[0]["path"].endswith(f"genres/jazz/jazz.00054{end}")


def test_gtzan_needs_its_lists(tmp_path: Path) -> None:
    source = gtzan(tmp_path / "gtzan", ".wav", {"train": "1\n501\n", "valid": "2\n"})
    said = refusal("gtzan", source)
    assert "gtzan: has no test_filtered.txt; accepted is" in said
    assert "github.com/jongpillee/music_dataset_split" in said and "github.com/coreyker/dnn-mgr" in said
    for line in ("1001", "0", "polka/polka.00001.wav", "blues/blues.1.wav"):
        (source / "test_filtered.txt").write_text(f"3\n{line}\n")
        assert f"test_filtered.txt: line 2 is '{line}', not as" in refusal("gtzan", source)
    (source / "test_filtered.txt").write_text("3\n100\n")
    task_of("gtzan", source, tmp_path / "tasks", rejected=1)  # blues.00099 is not there
    assert rejected_in(tmp_path / "tasks" / "gtzan")[0]["reason"] == "no such file"


def test_nsynth(tmp_path: Path) -> None:
    source = tmp_path / "nsynth"
    for split, families in (("train", ("bass", "synth_lead")), ("valid", ("bass",)), ("test", ("bass",))):
        about = {}
        for family in families:
            note = f"{family}_synthetic_{len(split)}{len(family)}-060-075"
            sound(source / f"nsynth-{split}" / "audio" / f"{note}.wav", 4.0)
            about[note] = {"instrument_family": 0, "instrument_family_str": family, "pitch": 60}
        (source / f"nsynth-{split}" / "examples.json").write_text(json.dumps(about))
    task = task_of("nsynth", source, tmp_path / "tasks")
    assert task["train"] == {
        "bass_synthetic_54-060-075.wav": "bass", "synth_lead_synthetic_510-060-075.wav": "synth_lead",
    }  # fmt: skip
    assert list(task["test"].values()) == ["bass"]
    examples = source / "nsynth-valid" / "examples.json"
    for text, said in (
        ('{"a": {"pitch": 60}}', "'a' has no instrument_family_str"),
        ("[]", "not a JSON object"), ("{", "not JSON ("), ("\udcff", "cannot be read ("),
    ):  # fmt: skip
        examples.write_text(text, errors="surrogateescape")
        assert f"examples.json: {said}" in refusal("nsynth", source)
    examples.unlink()
    assert "has no nsynth-valid/examples.json; accepted is" in refusal("nsynth", source)


PRESETS = {"Leads-Mosquito": "train", "Basses-Acid": "train", "Leads-Saw": "test", "Oboe": "valid"}


@pytest.mark.parametrize("given", [".", "surge"])
def test_surge(tmp_path: Path, given: str) -> None:
    source = tmp_path / "downloads"
    presets = {f"surge-patches-factory-{preset}-velocity64": split for preset, split in PRESETS.items()}
    for preset in presets:
        for note in (21, 60, 108):
            sound(source / "surge" / preset / f"note{note:03d}.ogg", 4.0 if note == 60 else 0.5, 44100, 2)
    for name in ("note109", "note20", "readme"):
        sound(source / "surge" / "surge-patches-factory-Leads-Saw-velocity64" / f"{name}.ogg")
    task = task_of("surge", source / given, tmp_path / "tasks", rejected=3)
    assert task["valid"] == {
        f"surge-patches-factory-Oboe-velocity64-note{note:03d}.wav": str(note) for note in (21, 60, 108)
    }
    found = {file.rpartition("-")[0]: split for split, files in task.items() for file in files}
    assert found == presets


def test_surge_without_folders(tmp_path: Path) -> None:
    for preset in ("a_", "d_", "f_"):
        for end in ("21.wav", "108.flac"):
            sound(tmp_path / "notes" / f"{preset}{end}", 0.1)
    task = task_of("surge", tmp_path / "notes", tmp_path / "tasks")
    assert task == {
        "train": {"a_108.wav": "108", "a_21.wav": "21"}, "test": {"d_108.wav": "108", "d_21.wav": "21"},
        "valid": {"f_108.wav": "108", "f_21.wav": "21"},
    }  # fmt: skip
