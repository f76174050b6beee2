"""Embeddings of a task: in order, cut and padded; what cannot be embedded is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import read_audio
from tests.training.places import Place, same
from tests.training.tasks import RATE
from training.evaluate import embeddings
from training.evaluate.embeddings import embed_task, read_clip
from training.evaluate.tasks import TaskError


def test_rows_are_in_the_order_of_the_files_and_computed_by_hand(place: Place) -> None:
    found = place.embed(cached=False)
    assert place.calls() == [5, 5, 2]
    assert list(found) == ["train", "valid", "test"]
    for split, paths in place.task().splits.items():
        assert found[split].dtype == np.float32
        clips = np.stack([read_audio(path, RATE) for path in paths])
        scaled = (clips / np.abs(clips).max(1, keepdims=True)).mean(1)
        expected = np.stack([clips.mean(1), clips.std(1), scaled], axis=1)
        np.testing.assert_allclose(found[split], expected, atol=1e-6)
        assert len(np.unique(expected[:, 1].round(5))) == 4  # so that an exchange would show


def test_what_is_reported(place: Place) -> None:
    seen: list[tuple[int, int]] = []
    embed_task(place.task(), place.model(), None, lambda done, everything: seen.append((done, everything)))
    assert seen == [(0, 12), (5, 12), (10, 12), (12, 12)]


def test_what_is_not_a_number_is_named_and_not_kept(place: Place) -> None:
    silent = place.folder / "16000" / "valid" / "03.flac"
    clip, _ = soundfile.read(silent)
    soundfile.write(silent, np.zeros(len(clip)), RATE)
    for cached in (True, False, True):
        with pytest.raises(TaskError, match=r"^simple: its embedding of .*valid/03\.flac is not finite"):
            place.embed(cached)
    place.calls()
    soundfile.write(silent, clip, RATE)
    assert same(place.embed(), place.embed(cached=False))


def test_files_that_cannot_be_embedded_are_named(place: Place) -> None:
    path = place.folder / "16000" / "test" / "01.flac"
    clip, _ = soundfile.read(path)
    for cached in (True, False):
        soundfile.write(path, clip, 22050)
        with pytest.raises(TaskError, match=r"test/01\.flac: its sample rate is 22050 Hz, the model takes 16000 Hz"):
            place.embed(cached)
        path.write_bytes(b"fLaC, but not really")
        with pytest.raises(TaskError, match=r"test/01\.flac: cannot be read \("):
            place.embed(cached)
        soundfile.write(path, np.zeros(0), RATE, format="WAV")
        with pytest.raises(TaskError, match=r"test/01\.flac: cannot be read \(.*no samples"):
            place.embed(cached)


def test_a_clip_is_cut_at_its_end_or_padded_there(tmp_path: Path) -> None:
    stereo = np.array([[0.5, 0.25], [-0.5, 0.0], [0.125, 0.125]])
    soundfile.write(tmp_path / "a.wav", stereo, RATE, "FLOAT")
    for samples, expected in ((5, [0.375, -0.25, 0.125, 0, 0]), (3, [0.375, -0.25, 0.125]), (2, [0.375, -0.25])):
        clip = read_clip(tmp_path / "a.wav", RATE, samples)
        assert clip.dtype == np.float32 and clip.tolist() == expected


def test_no_clip_is_too_long_for_a_batch(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "BATCH_SECONDS", 0.01)
    place.embed(cached=False)
    assert place.calls() == [1] * 12
