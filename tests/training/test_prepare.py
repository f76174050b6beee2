"""The table of data sets, folders that are none of them, and ESC-50 and UrbanSound8K in miniature."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.evaluate.prepare import PREPARERS, PrepareError, prepare
from training.evaluate.prepare.layout import split_of
from training.evaluate.tasks import read_task

Splits = dict[str, dict[str, str]]
# Hand-written from the papers (SPEC, section 1): lengths in s.
SECONDS = {
    "esc50": 5.0, "urbansound8k": 4.0, "speech_commands": 1.0, "voxceleb1": 8.2, "voxforge": 5.8, "crema_d": 2.5,
    "gtzan": 30.0, "nsynth": 4.0, "surge": 4.0,
}  # fmt: skip


def sound(path: Path, seconds: float = 0.05, rate: int = 16000, channels: int = 1) -> None:
    """A decaying tone, its pitch from the path, in the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * (300 + sum(path.name.encode())) * time) * np.exp(-time)
    soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate)


def task_of(name: str, source: Path, out: Path, rejected: int = 0) -> Splits:
    """Prepare `source`; the labels of the task by split and file, its audio being as long as it must be."""
    done = prepare(name, source, out, workers=2)
    task = read_task(out / name, 16000)
    assert task is not None
    assert done.clips == sum(map(len, task.splits.values())) and done.rejected == rejected
    for paths in task.splits.values():
        for path in paths:
            about = soundfile.info(path)
            assert (about.samplerate, about.channels, about.subtype) == (16000, 1, "PCM_16")
            assert about.frames == round(SECONDS[name] * 16000)
    return {
        split: {path.name: task.labels[n] for path, n in zip(paths, task.truth[split].argmax(1), strict=True)}
        for split, paths in task.splits.items()
    }


def refusal(name: str, source: Path) -> str:
    """What is said against a source."""
    with pytest.raises(PrepareError) as caught:
        prepare(name, source, source.parent / "refused")
    return str(caught.value)


def rejected_in(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejected.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table() -> None:
    assert {name: preparer.seconds for name, preparer in PREPARERS.items()} == SECONDS
    for name, preparer in PREPARERS.items():
        assert preparer.name == name and preparer.url.startswith("http") and preparer.licence and preparer.title
    assert PREPARERS["esc50"].splits == ("fold00", "fold01", "fold02", "fold03", "fold04")
    assert PREPARERS["urbansound8k"].splits[-1] == "fold09"
    assert PREPARERS["nsynth"].splits == ("train", "valid", "test")


def test_unknown_names_and_folders(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="task 'esc-50': known are esc50, urbansound8k, .*, surge"):
        prepare("esc-50", tmp_path, tmp_path / "tasks")
    with pytest.raises(PrepareError, match="none: no such folder; name the one that NSynth.* was unpacked in"):
        prepare("nsynth", tmp_path / "none", tmp_path / "tasks")


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("esc50", "no audio; accepted is ESC-50 .* meta/esc50.csv"),
        ("urbansound8k", "no audio; accepted is UrbanSound8K .* audio/foldN"),
        ("speech_commands", "no validation_list.txt; accepted is speech_commands_v0.02"),
        ("voxceleb1", "no iden_split.txt; accepted is VoxCeleb1"),
        ("voxforge", "no LANG/UPLOAD/wav/.*; accepted is .* de, en, es, fr, it, ru"),
        ("crema_d", "no AudioWAV; accepted is CREMA-D .* Git LFS"),
        ("gtzan", "no genres and no genres_original; accepted is GTZAN"),
        ("nsynth", "no nsynth-train; accepted is NSynth"),
        ("surge", "no audio; accepted is Surge .*surge/PRESET/noteNNN.ogg"),
    ],
)
def test_a_folder_with_something_else(tmp_path: Path, name: str, missing: str) -> None:
    sound(tmp_path / "sounds" / "sub" / "readme.aiff")
    with pytest.raises(PrepareError, match=f"sounds: has {missing}"):
        prepare(name, tmp_path / "sounds", tmp_path / "tasks")
    assert not (tmp_path / "tasks").exists()


def test_shares_of_a_split_by_hash() -> None:
    """Pinned: a task that is prepared again, elsewhere or later, is the same."""
    pinned = {"anna": "train", "fritz": "valid", "sven": "test", "ida": "valid", "zoe": "train"}
    assert {name: split_of(name, 0.7, 0.15) for name in pinned} == pinned
    places = [split_of(f"speaker {n}", 0.7, 0.1) for n in range(5000)]
    shares = [places.count(split) / 5000 for split in ("train", "valid", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.03)
    assert split_of("\udcff", 1.0, 0.0) == "train"  # a file name that is not UTF-8


def test_esc50(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "ESC-50-master"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in enumerate(("dog", "rain")):
            name = f"{fold}-10032-A-{target}.wav"
            sound(source / "audio" / name, 5.5 if target else 0.3, 44100)
            rows.append(f"{name},{fold},{target},{category},True,100032,A")
    (source / "meta").mkdir()
    (source / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    task = task_of("esc50", source, tmp_path / "tasks")
    assert list(task) == ["fold00", "fold01", "fold02", "fold03", "fold04"]
    assert task["fold03"] == {"4-10032-A-0.wav": "dog", "4-10032-A-1.wav": "rain"}
    assert "esc50: 10 clips were found" in caplog.text and "the whole set has 2000" in caplog.text
    (source / "meta" / "esc50.csv").write_text("\n".join([*rows, "x.wav,6,0,dog"]) + "\n")
    assert "has a fold '6'; there are 1 to 5" in refusal("esc50", source)
    (source / "meta" / "esc50.csv").write_text("filename,fold,target\n1-10032-A-0.wav,1,0\n")
    assert "esc50.csv: line 2 lacks one of filename, fold, category" in refusal("esc50", source)
    (source / "meta" / "esc50.csv").unlink()
    assert "ESC-50-master: has no meta/esc50.csv; accepted is" in refusal("esc50", source)


def test_urbansound8k(tmp_path: Path) -> None:
    source = tmp_path / "UrbanSound8K"
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for fold in range(1, 11):
        for number, label in ((3, "dog_bark"), (1, "car_horn")):
            name = f"{100 + fold}-{number}-0-0.wav"
            sound(source / "audio" / f"fold{fold}" / name, 0.1, (8000, 44100, 96000)[fold % 3], 1 + fold % 2)
            rows.append(f"{name},{100 + fold},0.0,0.1,1,{fold},{number},{label}")
    (source / "metadata").mkdir()
    (source / "metadata" / "UrbanSound8K.csv").write_text("\n".join(rows) + "\n")
    task = task_of("urbansound8k", source, tmp_path / "tasks")
    assert len(task) == 10
    assert task["fold09"] == {"110-3-0-0.wav": "dog_bark", "110-1-0-0.wav": "car_horn"}
