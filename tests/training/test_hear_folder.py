"""A folder of HEAR's tasks, as its tools read it: what is in it, what is refused, when it is another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.tasks import make_silence
from training.evaluate.hear.folder import HearFolder, read_hear_folders
from training.evaluate.hear.tools import HearError


def read(folder: Path) -> HearFolder:
    return read_hear_folders(folder.parent, [folder.name])[0]


def test_tasks_are_read(tmp_path: Path) -> None:
    make_silence(tmp_path / "two")
    make_silence(tmp_path / "one", embedding_type="event", evaluation=["event_onset_200ms_fms", "segment_1s_er"])
    (tmp_path / "not a task").mkdir()
    one, two = read_hear_folders(tmp_path)
    assert (one.name, one.kind, one.metrics) == ("one", "event", ("event_onset_200ms_fms", "segment_1s_er"))
    assert two.splits == dict.fromkeys(("train", "valid", "test"), ("a.wav", "b.wav"))
    assert read_hear_folders(tmp_path, ["two"]) == [two]
    two.check_clips(16000)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HearError, match="no such folder"):
        read_hear_folders(tmp_path / "absent")
    with pytest.raises(HearError, match=r"holds no task, which is a folder with task_metadata\.json"):
        read_hear_folders(tmp_path)
    make_silence(tmp_path / "one")
    with pytest.raises(HearError, match="no task 'other'; there are one"):
        read_hear_folders(tmp_path, ["one", "other"])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("task_metadata.json", "{", "task_metadata.json cannot be"),
        ("task_metadata.json", '{"splits": ["train"]}', "KeyError.'embedding_type'"),
        ("task_metadata.json", '{"splits": [], "embedding_type": "scene", "evaluation": ["mAP"]}', "'split_mode'"),
        ("task_metadata.json", '{"splits": [], "embedding_type": "odd", "evaluation": ["mAP"]}', "'odd'"),
        ("labelvocabulary.csv", None, "labelvocabulary.csv is missing"),
        ("valid.json", None, "valid.json is missing"),
        ("valid.json", "{}", "valid.json lists no clip"),
    ],
)
def test_a_broken_task_is_refused(tmp_path: Path, file: str, content: str | None, said: str) -> None:
    path = make_silence(tmp_path / "one") / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(HearError, match=f"one: .*{said}"):
        read_hear_folders(tmp_path)


def test_clips_that_the_tools_would_stumble_over_are_refused(tmp_path: Path) -> None:
    task = read(make_silence(tmp_path / "one"))
    with pytest.raises(HearError, match="has no folder 48000 with clips at the model's rate; it has 16000"):
        task.check_clips(48000)
    clip = tmp_path / "one" / "16000" / "test" / "b.wav"
    for audio, rate, said in (
        (np.zeros(1600), 8000, "has 8000 Hz and 1 channels; the model takes mono at 16000 Hz"),
        (np.zeros((1600, 2)), 16000, "16000 Hz and 2 channels"),
        (np.zeros(1700), 16000, "clips of 1600 to 1700 samples, though"),
    ):
        soundfile.write(clip, audio, rate)
        with pytest.raises(HearError, match=said):
            task.check_clips(16000)
    soundfile.write(make_silence(tmp_path / "any", sample_duration=None) / "16000/test/b.wav", np.zeros(1700), 16000)
    read(tmp_path / "any").check_clips(16000)
    clip.write_text("noise")
    with pytest.raises(HearError, match=r"b\.wav: cannot be read"):
        task.check_clips(16000)
    clip.unlink()
    with pytest.raises(HearError, match="1 of 2 clips are not in 16000/test, such as b.wav"):
        task.check_clips(16000)


def test_a_task_that_changes_is_another(tmp_path: Path) -> None:
    folder = make_silence(tmp_path / "one")
    digests = [read(folder).digest(16000)]
    assert read(folder).digest(16000) == digests[0]
    (folder / "test.json").write_text(json.dumps({"a.wav": ["high"], "b.wav": ["low"]}))
    digests.append(read(folder).digest(16000))
    os.utime(folder / "16000" / "test" / "a.wav", ns=(1, 1))
    digests.append(read(folder).digest(16000))
    assert len(set(digests)) == 3
