"""Writing a task from clips: what lies where, what is left out, what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import read_audio
from tests.training.test_prepare import everything_in, rejected_in
from training.evaluate.prepare import PrepareError, Written
from training.evaluate.prepare.task import TRAIN_VALID_TEST, Clip, Rejected, folds, write_task
from training.evaluate.tasks import Fold, read_task

NAMES = ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav", "f.wav")


def ramp(path: Path, samples: int, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """Write int16 samples 1, 2, 3, ..., of which any part shows where it was cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (np.arange(samples) % 30000 + 1).astype(np.int16)
    soundfile.write(path, np.repeat(values[:, None], channels, axis=1), rate, "PCM_16")
    return values


def six(folder: Path) -> list[Clip]:
    """Two clips a split, one of each of two labels."""
    clips = []
    for number, name in enumerate(NAMES):
        ramp(folder / name, 800)
        clips.append(Clip(folder / name, TRAIN_VALID_TEST[number // 2], "xy"[number % 2], name))
    return clips


def test_the_layout_is_that_of_hear(tmp_path: Path) -> None:
    done = write_task(tmp_path / "tasks", "mine", six(tmp_path), 0.1, TRAIN_VALID_TEST, notes="of mine")
    assert done == Written(6, 0, 6)
    folder = tmp_path / "tasks" / "mine"
    assert json.loads((folder / "task_metadata.json").read_text()) == {
        "task_name": "mine", "version": "v1.0.0", "embedding_type": "scene", "prediction_type": "multiclass",
        "split_mode": "trainvaltest", "sample_duration": 0.1, "evaluation": ["top1_acc"], "default_mode": "full",
        "mode": "full", "splits": ["train", "valid", "test"],
        "max_task_duration_by_split": {"train": None, "valid": None, "test": None}, "notes": "of mine",
    }  # fmt: skip
    assert (folder / "labelvocabulary.csv").read_text() == "idx,label\n0,x\n1,y\n"
    assert json.loads((folder / "valid.json").read_text()) == {"c.wav": ["x"], "d.wav": ["y"]}
    assert (folder / "rejected.csv").read_text() == "path,reason\n"
    task = read_task(folder, 16000)
    assert task is not None and task.folds == (Fold(("train",), ("valid",), ("test",)),)
    assert task.splits["test"] == [folder / "16000" / "test" / "e.wav", folder / "16000" / "test" / "f.wav"]
    assert task.labels == ("x", "y") and task.truth["test"].tolist() == [[True, False], [False, True]]
    assert not list((tmp_path / "tasks").glob(".*"))


def test_folds(tmp_path: Path) -> None:
    names = [f"{fold}{label}.wav" for fold in range(4) for label in "xy"]
    clips = [Clip(tmp_path / name, f"fold0{name[0]}", name[1], name) for name in names]
    for clip in clips:
        ramp(clip.path, 160)
    write_task(tmp_path, "mine", clips, 0.01, folds(4))
    about = json.loads((tmp_path / "mine" / "task_metadata.json").read_text())
    assert about["split_mode"] == "presplit_kfold" and about["nfolds"] == 4
    assert about["splits"] == ["fold00", "fold01", "fold02", "fold03"]
    task = read_task(tmp_path / "mine", 16000)
    assert task is not None and task.folds[0] == Fold(("fold02", "fold03"), ("fold01",), ("fold00",))


@pytest.mark.parametrize(("samples", "channels"), [(1000, 1), (1600, 2), (2500, 1)])
def test_clips_are_cut_or_padded_at_the_end(tmp_path: Path, samples: int, channels: int) -> None:
    clips = six(tmp_path)
    values = ramp(tmp_path / "a.wav", samples, channels=channels)
    write_task(tmp_path / "tasks", "mine", clips, 0.1, TRAIN_VALID_TEST)
    path = tmp_path / "tasks" / "mine" / "16000" / "train" / "a.wav"
    about = soundfile.info(path)
    assert (about.samplerate, about.channels, about.format, about.subtype) == (16000, 1, "WAV", "PCM_16")
    written, _ = soundfile.read(path, dtype="int16")
    assert len(written) == 1600
    np.testing.assert_array_equal(written[: min(samples, 1600)], values[:1600])
    assert not written[samples:].any()


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_clips_are_resampled_before_they_are_cut(tmp_path: Path, rate: int) -> None:
    clips = six(tmp_path)
    time = np.arange(rate) / rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate, "PCM_16")
    write_task(tmp_path / "tasks", "mine", clips, 0.5, TRAIN_VALID_TEST)
    written, found = soundfile.read(tmp_path / "tasks" / "mine" / "16000" / "train" / "a.wav")
    assert found == 16000 and len(written) == 8000
    spectrum = np.abs(np.fft.rfft(written))
    assert np.argmax(spectrum) == 500  # of bins of 2 Hz
    assert abs(np.abs(written[1000:7000]).max() - 0.5) < 0.01


def test_what_cannot_be_read_is_reported_and_left_out(tmp_path: Path) -> None:
    clips = [*six(tmp_path), Clip(tmp_path / "none.wav", "train", "x", "none.wav")]
    clips.append(Clip(tmp_path / "text.wav", "train", "z", "text.wav"))
    (tmp_path / "text.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    reports: list[Written] = []
    found = [*clips, Rejected(tmp_path / "odd.wav", "is odd")]
    done = write_task(tmp_path / "tasks", "mine", found, 0.1, TRAIN_VALID_TEST, report=reports.append)
    assert done == Written(6, 3, 9) and reports[-1] == done
    rows = rejected_in(tmp_path / "tasks" / "mine")
    assert [Path(row["path"]).name for row in rows] == ["none.wav", "odd.wav", "text.wav"]
    assert [row["reason"] for row in rows[:2]] == ["no such file", "is odd"]
    assert rows[2]["reason"].startswith("cannot be read as audio (") and "text.wav" not in rows[2]["reason"]
    task = read_task(tmp_path / "tasks" / "mine", 16000)
    assert task is not None and [path.name for path in task.splits["train"]] == ["a.wav", "b.wav"]
    assert not (tmp_path / "tasks" / "mine" / "16000" / "train" / "text.wav").exists()
    assert (tmp_path / "tasks" / "mine" / "labelvocabulary.csv").read_text() == "idx,label\n0,x\n1,y\n"


def test_the_task_does_not_depend_on_the_workers(tmp_path: Path) -> None:
    clips = []
    for number in range(100):  # several batches
        ramp(tmp_path / f"{number}.wav", 100 + number)
        clips.append(Clip(tmp_path / f"{number}.wav", TRAIN_VALID_TEST[number % 3], "xy"[number % 2], f"{number}.wav"))
    (tmp_path / "7.wav").write_text("damaged")
    for out, workers in ((tmp_path / "one", 1), (tmp_path / "four", 4)):
        assert write_task(out, "mine", clips, 0.01, TRAIN_VALID_TEST, workers) == Written(99, 1, 100)
    assert everything_in(tmp_path / "one") == everything_in(tmp_path / "four")
    assert len(everything_in(tmp_path / "one")) == 99 + 6


def refusal(tmp_path: Path, clips: Sequence[Clip], splits: tuple[str, ...] = TRAIN_VALID_TEST) -> str:
    """What is said against the clips, and that nothing is left behind."""
    with pytest.raises(PrepareError) as caught:
        write_task(tmp_path / "tasks", "mine", clips, 0.1, splits)
    assert not (tmp_path / "tasks").exists() or not list((tmp_path / "tasks").iterdir())
    return str(caught.value)


def test_nothing_readable(tmp_path: Path) -> None:
    clips = six(tmp_path)
    for name in NAMES:
        (tmp_path / name).unlink()
    assert refusal(tmp_path, clips) == (
        f"mine: has no clip; 6 files were left out, the first: {tmp_path / 'a.wav'}: no such file"
    )
    assert refusal(tmp_path, []) == "mine: has no clip"


def test_an_empty_split(tmp_path: Path) -> None:
    clips = six(tmp_path)
    assert refusal(tmp_path, [*clips[:2], *clips[4:]]) == "mine: has no clip in the split valid"
    for name in NAMES[4:]:
        (tmp_path / name).unlink()
    assert refusal(tmp_path, clips).startswith("mine: has no clip in the split test; 2 files were left out, the first")


def test_one_label_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    same = [Clip(clip.path, clip.split, "x", clip.file) for clip in six(tmp_path)]
    assert refusal(tmp_path, same) == "mine: all clips have the label 'x'; a task needs two or more"


def test_a_label_that_training_lacks(tmp_path: Path) -> None:
    clips = six(tmp_path)
    assert refusal(tmp_path, clips[1:]) == "mine: valid has the label 'x', train has not"
    (tmp_path / "b.wav").write_text("damaged")
    assert refusal(tmp_path, clips).startswith("mine: valid has the label 'y', train has not; 1 files were left out")
    # In folds: x is in 0 and 3 only, and when 3 is the test fold, 0 validates.
    fold = [Clip(clip.path, f"fold0{n % 4}", "x" if n in (0, 3) else "y", clip.file) for n, clip in enumerate(clips)]
    fold[4] = Clip(fold[4].path, "fold00", "y", "e.wav")
    said = refusal(tmp_path, fold, folds(4))
    assert said == "mine: fold00 has the label 'x', the training that goes with the test fold fold03 has not"


def test_a_file_or_a_name_twice(tmp_path: Path) -> None:
    clips = six(tmp_path)
    twin = Clip(tmp_path / "a.wav", "test", "x", "other.wav")
    assert refusal(tmp_path, [*clips, twin]) == f"mine: {tmp_path / 'a.wav'} is listed twice"
    twin = Clip(tmp_path / "sub" / "a.wav", "train", "x", "a.wav")
    assert refusal(tmp_path, [*clips, twin]) == "mine: two clips of train would be named a.wav"
    ramp(twin.path, 10)
    same = Clip(twin.path, "test", "x", "a.wav")  # of another split
    assert write_task(tmp_path / "tasks", "mine", [*clips, same], 0.1, TRAIN_VALID_TEST).clips == 7


def test_a_task_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "mine").mkdir(parents=True)
    with pytest.raises(PrepareError, match="mine: exists already; name another folder or delete it"):
        write_task(tmp_path / "tasks", "mine", six(tmp_path), 0.1, TRAIN_VALID_TEST)
    assert list((tmp_path / "tasks" / "mine").iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [*six(tmp_path)]
    for number in range(200):
        ramp(tmp_path / f"{number}.wav", 100)
        clips.append(Clip(tmp_path / f"{number}.wav", "train", "x", f"{number}.wav"))
    read: list[str] = []

    def slowly(path: Path, rate: int) -> np.ndarray:
        read.append(path.name)
        time.sleep(0.002)
        return read_audio(path, rate)

    def interrupt(_: Written) -> None:
        assert list((tmp_path / "tasks").glob(".mine.partial-*/16000/train/a.wav"))
        raise KeyboardInterrupt

    monkeypatch.setattr("training.evaluate.prepare.task.read_audio", slowly)
    with pytest.raises(KeyboardInterrupt):
        write_task(tmp_path / "tasks", "mine", clips, 0.1, TRAIN_VALID_TEST, 2, interrupt)
    done = len(read)
    assert done < len(clips)  # what was not begun is not done
    assert list((tmp_path / "tasks").iterdir()) == []
    time.sleep(0.05)
    assert len(read) == done  # and nothing goes on behind


def test_a_full_disk_is_no_fault_of_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = six(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr("training.evaluate.prepare.task.soundfile.write", full)
    with pytest.raises(OSError, match=r"a\.wav: cannot be written"):
        write_task(tmp_path / "tasks", "mine", clips, 0.1, TRAIN_VALID_TEST)
    assert list((tmp_path / "tasks").iterdir()) == []
