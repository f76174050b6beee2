"""k nearest neighbours against a naive second implementation, and the two kinds of labelled folder."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from selfie_hear import Embedder, get_scene_embeddings
from selfie_hear.audio import AudioError, read_audio
from training.evaluate import knn, neighbours
from training.evaluate.knn import Probe, knn_accuracy, read_labelled
from training.evaluate.tasks import TaskError

RATE = 16000


def naive(embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, neighbours: int) -> float:
    count, dimensions = embeddings.shape
    rows = [[0.0] * dimensions for _ in range(count)]
    for d in range(dimensions):
        column = [float(value) for value in embeddings[:, d]]
        mean = sum(column) / count
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / count)
        for i in range(count):
            rows[i][d] = (column[i] - mean) / deviation if len(set(column)) > 1 else 0.0
    right = 0
    for i in range(count):
        found = []
        for j in range(count):
            if groups[i] != groups[j]:
                product = sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
                found.append((product / math.hypot(*rows[i]) / math.hypot(*rows[j]), str(labels[j])))
        votes: dict[str, float] = defaultdict(float)
        for similarity, label in sorted(found, reverse=True)[:neighbours]:
            votes[label] += math.exp(similarity / 0.07)
        right += max(votes, key=lambda label: votes[label]) == labels[i]
    return 100 * right / count


def clusters(count: int, seed: int = 0, classes: int = 4, groups: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled clouds that overlap, with dimensions of very different size."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    embeddings = generator.normal(size=(classes, 6))[labels] + generator.normal(0, 1.2, (count, 6))
    scales = np.array([1e-3, 1.0, 10.0, 0.1, 5.0, 1e3])
    return embeddings * scales + 7 * scales, labels.astype(str), generator.integers(groups, size=count).astype(str)


def each_its_own(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


@pytest.mark.parametrize("k", [1, 3, 10, 59, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_naive_implementation(seed: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels, groups = clusters(60, seed)
    expected = naive(embeddings, labels, groups, k)
    assert 20 < expected < 95
    assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)
    monkeypatch.setattr(neighbours, "BLOCK", 7 * 60)
    monkeypatch.setattr(neighbours, "COLUMNS", 4)
    assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)


def test_agrees_with_the_naive_implementation_on_more_clips_than_numpy_sorts_in_passing() -> None:
    embeddings, labels, groups = clusters(300)
    for k in (1, 10, 100):
        expected = naive(embeddings, labels, groups, k)
        assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)


def test_a_copy_in_the_same_group_does_not_help() -> None:
    generator = np.random.default_rng(0)
    once = generator.normal(size=(100, 8))
    labels = np.repeat(generator.choice(["a", "b"], 100), 2)
    copies = np.repeat(once, 2, axis=0)
    assert knn_accuracy(copies, labels, each_its_own(200), 1) == 100.0
    assert knn_accuracy(copies, labels, np.repeat(each_its_own(100), 2), 1) < 70.0


def test_neighbours_are_of_other_groups_by_hand() -> None:
    """On a line each; a clip alone would choose the one beside it, which has its label but its group too."""
    embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [0.9, -0.3], [-1.0, 0.0], [-1.0, 0.1], [-0.9, 0.4]])
    labels = np.array(["a", "a", "b", "b", "b", "a"])
    groups = np.array(["1", "1", "2", "2", "2", "1"])
    assert knn_accuracy(embeddings, labels, each_its_own(6), 1) == pytest.approx(400 / 6)
    assert knn_accuracy(embeddings, labels, groups, 1) == 0.0


def test_dimensions_count_alike_whatever_their_size_and_place() -> None:
    embeddings, labels, groups = clusters(200)
    plain = knn_accuracy(embeddings, labels, groups)
    moved = embeddings * [1e4, 1e-4, 1.0, 3.0, 1e2, 1e-2] + [0.0, 1.0, -5.0, 100.0, 0.0, 2.0]
    assert knn_accuracy(moved, labels, groups) == plain
    # One informative dimension, far smaller than the noise beside it.
    generator = np.random.default_rng(0)
    small = np.stack([np.where(labels < "2", 1e-6, -1e-6), 1e3 * generator.normal(size=200)], axis=1)
    assert knn_accuracy(small, np.where(labels < "2", "x", "y"), groups) > 95.0


def test_a_constant_dimension_changes_nothing() -> None:
    embeddings, labels, groups = clusters(100)
    plain = knn_accuracy(embeddings, labels, groups)
    for constant in (0.0, 0.1, 1e30):  # the mean of a hundred times 0.1 is not 0.1
        beside = np.hstack([embeddings, np.full((100, 50), constant)])
        assert knn_accuracy(beside, labels, groups) == plain
        assert knn_accuracy(beside.astype(np.float32), labels, groups) == pytest.approx(plain, abs=1.01)


def test_nearer_neighbours_weigh_more() -> None:
    """Two far "b" against one near "a": one vote each would say "b"."""
    angles = np.deg2rad([0, 10, 80, 85, 180, 190, 260, 265])  # symmetric, so standardising keeps the angles' order
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    assert knn_accuracy(embeddings, labels, each_its_own(8), 3) == 100.0


def test_collapsed_embeddings_are_at_chance_and_broken_ones_are_nan() -> None:
    labels = np.array(["a", "b"] * 50)
    for value in (0.0, 0.3):
        assert 40 <= knn_accuracy(np.full((100, 4), value), labels, each_its_own(100)) <= 60
    broken = np.zeros((100, 4))
    broken[3, 2] = np.nan
    assert math.isnan(knn_accuracy(broken, labels, each_its_own(100)))


def test_ties_go_to_the_first() -> None:
    """Four equal clips tell the fifth: of neighbours the first two vote, of equal votes "a" wins."""
    embeddings = np.array([[1.0, 0.0]] * 4 + [[0.9, 0.0], [-4.9, 0.0]])
    groups = np.array(["1"] * 4 + ["2", "1"])  # the last clip is opposite, and there for the standardising
    for labels, right in ((["b", "b", "a", "a"], "b"), (["b", "a", "b", "a"], "a"), (["a", "b", "b", "b"], "a")):
        everyone = np.array([*labels, right, "c"])
        others = [label == right for label in [*labels, "c"]]  # they have only the fifth to ask
        assert knn_accuracy(embeddings, everyone, groups, 2) == pytest.approx(100 * (sum(others) + 1) / 6)


def test_a_clip_without_others_is_wrong_and_there_must_be_a_neighbour() -> None:
    embeddings, labels, _ = clusters(20)
    assert knn_accuracy(embeddings, labels, np.array(["one"] * 20)) == 0.0
    with pytest.raises(ValueError, match="neighbours is 0"):
        knn_accuracy(embeddings, labels, each_its_own(20), 0)


def tone(path: Path, hertz: float, samples: int = 3000, rate: int = RATE) -> None:
    generator = np.random.default_rng(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate) + generator.normal(0, 0.003, samples)
    soundfile.write(path, wave, rate)


def make_folder(folder: Path) -> Path:
    """A folder a label; low and high tones of many lengths, one of them in a folder of its own."""
    for number in range(6):
        tone(folder / "low" / f"{number}.wav", 300 + 10 * number, 3000 + 100 * number)
        tone(folder / "high" / ("more/deep" if number == 5 else "") / f"{number}.flac", 3000 + 80 * number)
    return folder


def make_task(folder: Path) -> Path:
    splits = ["fold00", "fold01", "fold02"]
    for split in splits:
        for number in range(3):
            tone(folder / "16000" / split / f"low{number}.wav", 300 + 10 * number)
            tone(folder / "16000" / split / f"high{number}.wav", 3000 + 80 * number)
        names = {f"{label}{number}.wav": [label] for label in ("low", "high") for number in range(3)}
        (folder / f"{split}.json").write_text(json.dumps(names))
    about = {
        "embedding_type": "scene", "prediction_type": "multiclass", "split_mode": "presplit_kfold", "splits": splits,
        "sample_duration": 0.2,
    }  # fmt: skip
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n")
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder


def test_a_folder_of_folders(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tones")
    (folder / "low" / "notes.txt").write_text("no audio")
    (folder / "low" / ".hidden.wav").write_text("no audio")
    (folder / ".cache").mkdir()
    tone(folder / ".cache" / "0.wav", 500)
    (folder / "papers").mkdir()
    (folder / "papers" / "a.pdf").write_text("no audio")
    (folder / "readme.wav").write_text("beside the folders, so without a label")
    found = read_labelled(folder, RATE)
    names = [path.relative_to(folder).as_posix() for path in found.paths]
    assert found.name == "tones"
    assert names == [f"high/{n}.flac" for n in range(5)] + ["high/more/deep/5.flac"] + [
        f"low/{n}.wav" for n in range(6)
    ]
    assert found.labels.tolist() == ["high"] * 6 + ["low"] * 6
    assert len(set(found.groups.tolist())) == 12


def test_a_scene_task(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "task")
    found = read_labelled(folder, RATE)
    assert found.name == "task"
    assert [(p.parent.name, p.name) for p in found.paths][:4] == [
        ("fold00", "high0.wav"),
        ("fold00", "high1.wav"),
        ("fold00", "high2.wav"),
        ("fold00", "low0.wav"),
    ]
    assert found.labels.tolist() == (["high"] * 3 + ["low"] * 3) * 3
    assert found.groups.tolist() == ["fold00"] * 6 + ["fold01"] * 6 + ["fold02"] * 6


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere: no such folder; accepted is .*hear-eval-kit.*sub-folder"):
        read_labelled(tmp_path / "nowhere", RATE)
    task = make_task(tmp_path / "task")
    about = json.loads((task / "task_metadata.json").read_text())
    (task / "task_metadata.json").write_text(json.dumps({**about, "prediction_type": "multilabel"}))
    with pytest.raises(TaskError, match=r"task: a multilabel task; accepted is a multiclass scene task"):
        read_labelled(task, RATE)
    (task / "task_metadata.json").write_text(json.dumps({**about, "embedding_type": "event"}))
    with pytest.raises(TaskError, match=r"task: a task of another kind; accepted is a multiclass scene task"):
        read_labelled(task, RATE)
    (task / "task_metadata.json").write_text("{")
    with pytest.raises(TaskError, match=r"task_metadata\.json: missing or not JSON"):
        read_labelled(task, RATE)
    empty = tmp_path / "empty"
    (empty / "a").mkdir(parents=True)
    with pytest.raises(TaskError, match=r"empty: clips of 0 labels, two or more are needed"):
        read_labelled(empty, RATE)
    tone(empty / "a" / "0.wav", 300)
    tone(empty / "a" / "1.wav", 300)
    with pytest.raises(TaskError, match=r"empty: clips of 1 labels"):
        read_labelled(empty, RATE)
    tone(empty / "b" / "0.wav", 300)
    with pytest.raises(TaskError, match=r"empty: 'b': all clips of the label in one group"):
        read_labelled(empty, RATE)


def test_a_label_in_one_split_only_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task")
    about = json.loads((task / "task_metadata.json").read_text())
    splits = dict(zip(("fold00", "fold01", "fold02"), ("train", "valid", "test"), strict=True))
    for old, new in splits.items():
        names = json.loads((task / f"{old}.json").read_text())
        kept = {name: of for name, of in names.items() if new == "train" or of == ["low"]}
        (task / f"{new}.json").write_text(json.dumps(kept))
        (task / "16000" / old).rename(task / "16000" / new)
    about = {**about, "split_mode": "trainvaltest", "splits": list(splits.values())}
    (task / "task_metadata.json").write_text(json.dumps(about))
    with pytest.raises(TaskError, match=r"task: 'high': all clips of the label in one group"):
        read_labelled(task, RATE)


@pytest.mark.parametrize("make", [make_folder, make_task])
def test_probe_is_knn_on_scene_embeddings_and_leaves_the_encoder_as_it_is(
    make: object, tmp_path: Path, tiny: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make)
    folder = make(tmp_path / "tones")
    monkeypatch.setattr(knn, "CLIPS", 5)
    probe = Probe(folder, RATE, every=3)
    tiny.train()
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    torch.manual_seed(0)
    random = torch.get_rng_state()
    accuracy = probe(tiny.config, tiny.encoder)
    assert torch.equal(random, torch.get_rng_state())
    assert tiny.training
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    clips = read_labelled(folder, RATE)
    embeddings = get_scene_embeddings([torch.from_numpy(read_audio(path, RATE)) for path in clips.paths], tiny)
    assert accuracy == knn_accuracy(embeddings.numpy(), clips.labels, clips.groups)
    assert probe.every == 3


def test_probe_tells_tones_apart_but_not_what_is_labelled_at_random(tmp_path: Path, tiny: Embedder) -> None:
    assert Probe(make_task(tmp_path / "tones"), RATE, 1)(tiny.config, tiny.encoder) == 100.0
    for number in range(20):
        tone(tmp_path / "coin" / ("a" if number % 4 in (0, 3) else "b") / f"{number}.wav", 300 * 1.2 ** (number // 2))
    assert Probe(tmp_path / "coin", RATE, 1)(tiny.config, tiny.encoder) < 75.0


def test_probe_hears_at_the_sample_rate(tmp_path: Path, tiny: Embedder) -> None:
    """The same tones from files at 8 kHz are as alike as at 16 kHz."""
    folder = tmp_path / "mixed"
    for number in range(4):
        tone(folder / "low" / f"{number}.wav", 300, *((3000, 16000) if number % 2 else (1500, 8000)))
        tone(folder / "high" / f"{number}.wav", 600, *((3000, 16000) if number % 2 else (1500, 8000)))
    heard: list[int] = []
    original = knn.read_audio

    def listen(path: Path, rate: int) -> np.ndarray:
        heard.append(len(original(path, rate)))
        return original(path, rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knn, "read_audio", listen)
        Probe(folder, RATE, 1)(tiny.config, tiny.encoder)
    assert heard == [3000] * 8


def test_probe_refuses_no_interval_and_passes_on_unreadable_files(tmp_path: Path, tiny: Embedder) -> None:
    folder = make_folder(tmp_path / "tones")
    with pytest.raises(TaskError, match="every 0 steps; 1 or more"):
        Probe(folder, RATE, 0)
    (folder / "low" / "3.wav").write_bytes(b"RIFF but no more")
    with pytest.raises(AudioError, match=r"low/3\.wav"):
        Probe(folder, RATE, 1)(tiny.config, tiny.encoder)
