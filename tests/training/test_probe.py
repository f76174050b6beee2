"""The probe of a run: nearest neighbours of the embeddings of its encoders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from selfie_hear import Embedder, get_scene_embeddings
from selfie_hear.audio import AudioError, read_audio
from selfie_hear.config import ModelConfig
from selfie_hear.encoders import Encoder
from tests.training.processes import CPU
from tests.training.runs import SELDOM, TIMES, assert_same_state, ignore, metrics_of, without_times
from tests.training.tones import RATE, make_folder, make_task, tone
from training.evaluate import knn
from training.evaluate.knn import Probe, knn_accuracy, read_labelled
from training.evaluate.tasks import TaskError
from training.loop import Trainer

pytestmark = pytest.mark.usefixtures("few_curves")


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


# In a run


@pytest.fixture
def labelled(audio_folder: Path, tmp_path: Path) -> Path:
    for number, label in ((0, "low"), (1, "low"), (2, "high"), (3, "high")):
        (tmp_path / "labelled" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(audio_folder / f"{number}.wav", tmp_path / "labelled" / label)
    return tmp_path / "labelled"


def test_a_probe_measures_both_encoders_on_the_way_and_changes_nothing(
    packed: Path, labelled: Path, tmp_path: Path
) -> None:
    config = replace(SELDOM, log_every=3)
    watched = Trainer(config, packed, tmp_path / "watched", CPU)
    watched.fit(6, ignore, Probe(labelled, 16000, every=2))
    alone = Trainer(config, packed, tmp_path / "alone", CPU)
    alone.fit(6, ignore)
    assert_same_state(watched, alone)
    assert watched.objective.training and all(m.training for m in watched.objective.modules())

    lines = metrics_of(tmp_path / "watched")
    measured = {line["step"]: {"loss" in line, "knn_online" in line, "knn_target" in line} for line in lines}
    assert measured == {2: {False, True}, 3: {True, False}, 4: {False, True}, 6: {True}}
    assert all(0 <= line[key] <= 100 for line in lines for key in ("knn_online", "knn_target") if key in line)
    for here, there in zip([line for line in lines if "loss" in line], metrics_of(tmp_path / "alone"), strict=True):
        assert {key: here[key] for key in there if key not in TIMES} == without_times([there])[0]


def test_a_probe_is_given_the_encoders_as_they_are(
    packed: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []

    def look(_probe: Probe, model: ModelConfig, encoder: Encoder) -> float:
        assert model == SELDOM.model
        seen.append({name: value.clone() for name, value in encoder.state_dict().items()})
        return float(len(seen))

    monkeypatch.setattr(Probe, "__call__", look)
    trainer = Trainer(SELDOM, packed, tmp_path / "run", CPU)
    trainer.fit(1, ignore, Probe(labelled, 16000, every=1))
    for found, encoder in zip(seen, trainer.objective.encoders().values(), strict=True):
        assert all(torch.equal(found[name], value) for name, value in encoder.state_dict().items())
    assert not torch.equal(seen[0]["fc1.weight"], seen[1]["fc1.weight"])
    (line,) = metrics_of(tmp_path / "run")
    assert (line["knn_online"], line["knn_target"]) == (1.0, 2.0)
