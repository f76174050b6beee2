"""The data of a timeline, of real recordings one after the other."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear import Embedder
from selfie_hear.audio import read_audio
from selfie_hear.corpus import Listener
from selfie_hear.explore import recording
from selfie_hear.explore.collection import MEGABYTE, PageOptions
from selfie_hear.explore.page import PageError, build_page
from selfie_hear.explore.recording import recording_data
from tests.conftest import noise
from tests.explore.reading import Page


def listener(model: Embedder) -> Listener:
    return Listener(model, lambda *_: None)


def test_changes_and_recurrences_of_real_recordings(tmp_path: Path, examples: list[Path], model: Embedder) -> None:
    sounds = {path.stem: read_audio(path, 16000) for path in examples}
    order = ["speech_1", "dog_1", "piano_c3", "speech_1", "dog_2", "piano_c3"]
    soundfile.write(tmp_path / "all.flac", np.concatenate([sounds[name] for name in order]), 16000)
    data, remarks = recording_data(tmp_path / "all.flac", listener(model), PageOptions())
    assert remarks == []
    joins = np.cumsum([0, *(len(sounds[name]) / 16000 for name in order)])
    starts = np.array([part["start"] for part in data["parts"]])
    for join in joins[:-1]:
        assert np.abs(starts - join).min() < 0.4, f"no part begins at {join:.1f} s of {starts}"
    group = [data["parts"][int(np.abs(starts - join).argmin())]["group"] for join in joins[:-1]]
    assert group == [0, 1, 2, 0, 1, 2]
    assert data["seconds"] == pytest.approx(joins[-1], abs=0.01)
    assert [part["end"] for part in data["parts"]] == [*starts[1:], data["seconds"]]
    similarity = np.frombuffer(base64.b64decode(data["similarity"]), np.uint8).reshape(data["points"], -1)
    np.testing.assert_array_equal(similarity, similarity.T)
    assert (np.diag(similarity) == 255).all()
    heard, _ = soundfile.read(io.BytesIO(base64.b64decode(data["audio"])))
    assert len(heard) == sum(len(sounds[name]) for name in order)
    text = build_page("timeline", "all", data)
    assert Page(text).data == data
    assert (
        build_page("timeline", "all", recording_data(tmp_path / "all.flac", listener(model), PageOptions())[0]) == text
    )


def test_a_long_recording_has_bounded_columns_and_fits(
    tmp_path: Path, tiny: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "POINTS", 60)
    monkeypatch.setattr(recording, "STRIP", 100)
    path = tmp_path / "long.wav"
    soundfile.write(path, np.tile(noise(16000 * 10).numpy(), 5), 16000)
    monkeypatch.setattr(recording, "LEVELS", {0.8: 50_000, 0.95: 2200})
    data, remarks = recording_data(path, listener(tiny), PageOptions(most=1.0))
    assert 30 < data["points"] <= 60
    assert data["seconds"] == 50.0
    assert data["points"] * data["step"] >= 50.0 > (data["points"] - 1) * data["step"]
    assert remarks == []
    assert len(build_page("timeline", "x", data).encode()) <= MEGABYTE
    audio = base64.b64decode(data["audio"])
    assert len(audio) < 50 * 2200
    assert abs(len(soundfile.read(io.BytesIO(audio))[0]) - 50 * 16000) < 3000
    monkeypatch.setattr(recording, "LEVELS", {0.95: 20_000})
    data, (remark,) = recording_data(path, listener(tiny), PageOptions(most=1.0))
    assert "audio" not in data
    assert remark.startswith("the recording is not in the page, which would be 2 MB; a greater --max-mb")
    data, _ = recording_data(path, listener(tiny), PageOptions(linked_from=tmp_path))
    assert data["url"] == "long.wav" and "audio" not in data


def test_a_recording_of_one_sound_is_one_part(tmp_path: Path, tiny: Embedder) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16000 * 2), 16000)
    data, _ = recording_data(tmp_path / "a.wav", listener(tiny), PageOptions())
    assert data["parts"] == [{"start": 0.0, "end": 2.0, "group": 0}]
    assert set(base64.b64decode(data["envelope"])) == {0}


def test_too_short_for_a_timeline(tmp_path: Path, tiny: Embedder) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1600).numpy(), 16000)
    with pytest.raises(PageError, match=r"a\.wav: a timeline needs four timestamps"):
        recording_data(tmp_path / "a.wav", listener(tiny), PageOptions())
