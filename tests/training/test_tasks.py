"""Tasks in hear-eval-kit's layout: read right, or refused with the file and the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.tasks import describe, make_task
from training.evaluate.tasks import Fold, SceneTask, TaskError, read_task, read_tasks


def read(folder: Path) -> SceneTask:
    task = read_task(folder, 16000)
    assert task is not None
    return task


def write_labels(folder: Path, split: str, **labels: object) -> None:
    (folder / f"{split}.json").write_text(json.dumps({f"{file[1:]}.flac": value for file, value in labels.items()}))


def test_folds_by_hand(tmp_path: Path) -> None:
    assert read(make_task(tmp_path / "tones")).folds == (
        Fold(("fold02",), ("fold01",), ("fold00",)),
        Fold(("fold00",), ("fold02",), ("fold01",)),
        Fold(("fold01",), ("fold00",), ("fold02",)),
    )
    four = make_task(tmp_path / "four", "new_split_kfold", splits=("c", "a", "d", "b"), clips=2)
    assert read(four).folds == (
        Fold(("c", "d"), ("b",), ("a",)),
        Fold(("a", "d"), ("c",), ("b",)),
        Fold(("a", "b"), ("d",), ("c",)),
        Fold(("b", "c"), ("a",), ("d",)),
    )
    assert list(read(four).splits) == ["c", "a", "d", "b"]
    single = make_task(tmp_path / "single", "trainvaltest")
    assert read(single).folds == (Fold(("train",), ("valid",), ("test",)),)


def test_a_task_by_hand(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "tones", "trainvaltest", ("high", "low", "none"), clips=3, seconds=0.1)
    (folder / "labelvocabulary.csv").write_text('note,label,idx\nx,none,2\n"a, b",low,0\n\n,high,1\n')
    write_labels(folder, "train", _02=["low"], _00=["high"], _01=["none"])
    task = read(folder)
    assert (task.name, task.labels, task.multilabel, task.seconds) == ("tones", ("low", "high", "none"), False, 0.1)
    assert list(task.splits) == list(task.truth) == ["train", "valid", "test"]
    assert task.splits["train"] == [folder / "16000" / "train" / f"0{n}.flac" for n in range(3)]
    assert task.truth["train"].dtype == bool
    assert task.truth["train"].tolist() == [[False, True, False], [False, False, True], [True, False, False]]


def test_multilabel_by_hand(tmp_path: Path) -> None:
    task = read(make_task(tmp_path / "tones", labels=("a", "b", "c"), multilabel=True, clips=8))
    assert task.multilabel
    expected = [[bool(n >> bit & 1) for bit in range(3)] for n in range(8)]
    assert task.truth["fold01"].tolist() == expected
    assert not task.truth["fold01"][0].any() and task.truth["fold01"][7].all()


def test_labels_may_be_numbers_and_one_need_not_be_in_a_list(tmp_path: Path) -> None:
    """As in hear-eval-kit, where a pitch is a number in JSON and text in the vocabulary."""
    folder = make_task(tmp_path / "tones", "trainvaltest", ("21", "108"), clips=4)
    write_labels(folder, "train", _00=[21], _01=108, _02="21", _03=["108"])
    assert read(folder).truth["train"].tolist() == [[True, False], [False, True], [True, False], [False, True]]
    describe(folder, prediction_type="multilabel")
    write_labels(folder, "train", _00=[21, "108"], _01=108, _02=[], _03=["21", 21])
    assert read(folder).truth["train"].tolist() == [[True, True], [False, True], [False, False], [True, False]]


def test_files_that_an_editor_began_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "tones", labels=("groß", "hi, there"))
    (folder / "labelvocabulary.csv").write_text('idx,label\n0,groß\n1,"hi, there"\n', encoding="utf-8")
    plain = read(folder)
    for path in (*folder.glob("*.json"), folder / "labelvocabulary.csv"):
        path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read(folder).labels == plain.labels == ("groß", "hi, there")
    for split, truth in plain.truth.items():
        np.testing.assert_array_equal(read(folder).truth[split], truth)


def test_without_a_length_it_is_the_mean(tmp_path: Path) -> None:
    """FSD50K's metadata has null."""
    folder = make_task(tmp_path / "tones", "trainvaltest", clips=2, seconds=0.1)
    soundfile.write(folder / "16000" / "valid" / "00.flac", np.zeros(16000), 16000)
    describe(folder, sample_duration=None)
    assert read(folder).seconds == pytest.approx((5 * 0.1 + 1.0) / 6)
    describe(folder, sample_duration=2)
    assert read(folder).seconds == 2.0
    (folder / "16000" / "valid" / "00.flac").write_bytes(b"RIFF, but not really")
    describe(folder, sample_duration=None)
    with pytest.raises(TaskError, match=r"cannot be read .*valid/00\.flac"):
        read(folder)


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def write(file: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_text(text)


def label(split: str, **labels: object) -> Callable[[Path], None]:
    return lambda folder: write_labels(folder, split, **labels)


def say(**changes: object) -> Callable[[Path], None]:
    return lambda folder: describe(folder, **changes)


def forget(key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        about = json.loads((folder / "task_metadata.json").read_text())
        del about[key]
        (folder / "task_metadata.json").write_text(json.dumps(about))

    return change


VOCABULARY, METADATA = "labelvocabulary.csv", "task_metadata.json"
EACH_ONCE = r"labelvocabulary\.csv: two or more labels with idx 0, 1, 2, \.\.\. are needed, each once"
COLUMNS = r"labelvocabulary\.csv: missing, or not the columns idx and label"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (remove(METADATA), r"task_metadata\.json: missing or not JSON"),
        (write(METADATA, "{"), r"task_metadata\.json: missing or not JSON"),
        (write(METADATA, "[]"), r"task_metadata\.json: not a JSON object; the layout is "),
        *((forget(key), f"says nothing of '{key}'; the layout is ") for key in ("embedding_type", "prediction_type")),
        *((forget(key), f"says nothing of '{key}'") for key in ("splits", "split_mode", "sample_duration")),
        (say(sample_duration="long"), "sample_duration must be seconds, or null for the mean length, got 'long'"),
        (say(sample_duration=0), "sample_duration must be seconds, or null for the mean length, got 0"),
        (say(sample_duration=-1.5), "sample_duration must be .* got -1.5"),
        (say(sample_duration=float("nan")), "sample_duration must be .* got nan"),
        (say(sample_duration=float("inf")), "sample_duration must be .* got inf"),
        (say(split_mode="kfold"), "split_mode 'kfold'; known are trainvaltest, presplit_kfold, new_split_kfold"),
        (say(split_mode="trainvaltest"), "has no split test, train, valid; split_mode is trainvaltest"),
        (say(splits=["fold00", "fold01"]), "has 2 folds; to train, validate and test, three or more are needed"),
        (say(splits=[]), "has 0 folds; "),
        (say(splits=["fold00", "fold01", "fold00"]), "splits must be a list of different names, got "),
        (say(splits="fold"), "splits must be a list of different names, got 'fold'"),
        (say(splits=[0, 1, 2]), r"splits must be a list of different names, got \[0, 1, 2\]"),
        (say(splits=[["fold00"]]), "splits must be a list of different names, got "),
        (say(splits=None), "splits must be a list of different names, got None"),
        (remove(VOCABULARY), COLUMNS),
        (write(VOCABULARY, ""), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,low\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,low\n2,high\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n1,low\n2,high\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,low\n1,low\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,none\n0,low\n1,high\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,low\n1,high\n2\n"), EACH_ONCE),
        (write(VOCABULARY, "idx,label\n0,low\n1,high\n2,\n"), EACH_ONCE),
        (write(VOCABULARY, "label,number\nlow,0\nhigh,1\n"), COLUMNS),
        (write(VOCABULARY, "idx,label\nzero,low\none,high\n"), COLUMNS),
        (lambda folder: (folder / VOCABULARY).write_bytes(b"idx,label\n0,lo\xffw\n1,high\n"), COLUMNS),
        (remove("fold01.json"), r"fold01\.json: missing or not JSON"),
        (write("fold01.json", "{'00.flac': ['low']}"), r"fold01\.json: missing or not JSON"),
        (write("fold01.json", '["00.flac"]'), r"fold01\.json: not a JSON object"),
        (write("fold01.json", "{}"), r"fold01\.json: lists no clip"),
        (label("fold01", _00=["loud"]), r"fold01\.json: 00\.flac has the label 'loud', which is not in label"),
        (label("fold01", _00=None), r"fold01\.json: 00\.flac has the label 'None'"),
        (label("fold01", _00={"low": 1}), r"fold01\.json: 00\.flac has the label .*'low'"),
        (label("fold01", _00=["low", "high"]), r"fold01\.json: 00\.flac has 2 labels, in a multiclass task a clip has"),
        (label("fold01", _00=[]), r"fold01\.json: 00\.flac has 0 labels, in a multiclass task a clip has one"),
        (remove("16000/fold02/03.flac"), r"fold02/03\.flac: no such file, though fold02\.json lists it"),
        (label("fold00", _00="low", _99="high"), r"fold00/99\.flac: no such file, though fold00\.json lists it"),
        (label("fold01", _00=["low"]), "task: fold02 tests 'high', training has none"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, spoil: Callable[[Path], object], complaint: str) -> None:
    folder = make_task(tmp_path / "task", clips=4, seconds=0.05)
    assert read(folder).labels == ("low", "high")
    spoil(folder)
    with pytest.raises(TaskError, match=complaint) as caught:
        read_task(folder, 16000)
    assert str(folder) in str(caught.value)


def test_another_rate_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "task", clips=2)
    with pytest.raises(TaskError, match=r"48000/fold00/00\.flac: no such file"):
        read_task(folder, 48000)


def test_multilabel_splits_that_test_nothing_or_what_was_never_trained(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "task", "trainvaltest", multilabel=True, clips=4)
    write_labels(folder, "valid", _00=[])  # harmless
    assert not read(folder).truth["valid"].any()
    write_labels(folder, "train", _00=[], _01=["low"])
    with pytest.raises(TaskError, match="task: test tests 'high', training has none"):
        read(folder)
    write_labels(folder, "test", _00=[], _01=[])
    with pytest.raises(TaskError, match="task: no clip of test has a label, so it tests nothing"):
        read(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three tasks of scenes, two of other kinds, and things that are no task."""
    for name in ("b", "a", "c", "event", "regression"):
        make_task(tmp_path / "tasks" / name, clips=2, seconds=0.05)
    describe(tmp_path / "tasks" / "event", embedding_type="event", prediction_type="multilabel", splits=None)
    describe(tmp_path / "tasks" / "regression", prediction_type="regression")
    (tmp_path / "tasks" / "notes").mkdir()
    (tmp_path / "tasks" / "notes.txt").write_text("nothing")
    return tmp_path / "tasks"


def names(folder: Path, *only: str) -> list[str]:
    return [task.name for task in read_tasks(folder, 16000, only)]


def test_tasks_of_other_kinds_are_passed_over(folder: Path) -> None:
    assert names(folder) == ["a", "b", "c"]
    assert read_task(folder / "event", 16000) is None
    assert read_task(folder / "regression", 16000) is None


def test_only_those_that_are_named(folder: Path) -> None:
    (folder / "b" / "fold00.json").unlink()
    assert names(folder, "c", "a", "c", "a/") == ["c", "a"]
    with pytest.raises(TaskError, match=r"b/fold00\.json: missing"):
        names(folder, "b")
    for mistake in ("d", "notes", "", ".", "a/16000"):
        with pytest.raises(TaskError, match="no such task"):
            names(folder, "a", mistake)
    with pytest.raises(TaskError, match="event: not a task that labels whole clips; hear-eval-kit can judge it"):
        names(folder, "a", "event")


def test_no_task_at_all(folder: Path) -> None:
    for empty in (folder / "notes", folder / "nowhere", folder / "notes.txt", folder / "a"):
        with pytest.raises(TaskError, match=f"{empty}: holds no scene tasks in hear-eval-kit's layout: NAME/task_meta"):
            read_tasks(empty, 16000)
