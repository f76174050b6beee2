"""The data of a map: places, neighbours, previews, a budget."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.explore import collection
from selfie_hear.explore.collection import PageOptions, collection_data
from selfie_hear.explore.page import PageError, build_page, to_json
from selfie_hear.explore.preview import MELS
from tests.conftest import noise
from tests.explore.reading import Page
from tests.explore.sounds import RATE, embeddings, write_tones

NAMES = [f"{folder}/{number}.wav" for folder in ("low", "middle", "high") for number in range(4)]


def test_a_map_holds_what_the_sounds_are(tmp_path: Path) -> None:
    paths = write_tones(tmp_path, NAMES)
    values = embeddings(12)
    seen: list[int] = []
    data, remarks = collection_data(paths, values, PageOptions(), report=seen.append)
    assert remarks == [] and seen == list(range(1, 13))
    assert [sound["name"] for sound in data["sounds"]] == NAMES
    (folder,) = data["groupings"]
    assert (folder["name"], folder["categories"]) == ("folder", ["high", "low", "middle"])
    assert folder["of"] == [1] * 4 + [2] * 4 + [0] * 4
    centred = values - values.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    for number, sound in enumerate(data["sounds"]):
        cosine = centred @ centred[number]
        order = [row for row in np.argsort(-cosine) if row != number][:10]
        assert [row for row, _ in sound["near"]] == order
        np.testing.assert_allclose([value for _, value in sound["near"]], cosine[order], atol=1e-4)
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(sound["audio"])), dtype="float32")
        assert rate == RATE
        assert np.corrcoef(heard, soundfile.read(paths[number], dtype="float32")[0])[0, 1] > 0.9
        shades = np.frombuffer(base64.b64decode(sound["spectrogram"]), np.uint8).reshape(MELS, -1)
        assert shades.max() == 255
        assert (sound["seconds"], sound["start"], sound["shown"]) == (0.5, 0.0, 0.5)
    text = build_page("map", "tones", data)
    assert Page(text).data == data
    assert build_page("map", "tones", collection_data(paths, values, PageOptions())[0]) == text
    assert str(tmp_path) not in text


def test_labels_come_before_folders(tmp_path: Path) -> None:
    paths = write_tones(tmp_path, NAMES[:3])
    (tmp_path / "labels.csv").write_text("path,kind\nlow/1.wav,best\n")
    data, _ = collection_data(paths, embeddings(3), PageOptions(), tmp_path / "labels.csv")
    assert [(one["name"], one["of"]) for one in data["groupings"]] == [("kind", [1, 0, 1]), ("folder", [0, 0, 0])]


def test_a_sound_that_cannot_be_read_keeps_its_place(tmp_path: Path) -> None:
    paths = write_tones(tmp_path, ["a.wav", "b.wav", "c.wav", "d.wav"])
    paths[1].unlink()
    paths[2].write_text("not audio")
    data, remarks = collection_data(paths, embeddings(4), PageOptions())
    assert [sound.get("missing", "")[:20] for sound in data["sounds"]] == [
        "",
        "no such file",
        "cannot be read as au",
        "",
    ]
    assert all("x" in sound and "near" in sound for sound in data["sounds"])
    assert remarks[0] == f"without its sound: {paths[1]}: no such file"
    assert len(remarks) == 2


def test_the_budget_is_kept_and_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SCAFFOLD", 850_000)
    write_tones(tmp_path, ["a.wav"])
    soundfile.write(tmp_path / "b.wav", noise(2 * RATE).numpy(), RATE)
    paths = [tmp_path / ("a.wav" if number < 3 else "b.wav") for number in range(18)]
    options = PageOptions(most=1.0)
    data, (remark,) = collection_data(paths, embeddings(18), options)
    assert collection.SCAFFOLD + len(to_json(data)) <= options.bytes
    heard = [number for number, sound in enumerate(data["sounds"]) if "audio" in sound]
    assert data["left_out"] == 18 - len(heard) > 0
    assert remark.startswith(f"{18 - len(heard)} of 18 sounds are on the map but not in the page")
    assert min(heard) < 6 and max(heard) > 11
    assert all("spectrogram" in sound for sound in data["sounds"])


def test_a_budget_too_small_for_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SCAFFOLD", 2_000_000)
    with pytest.raises(PageError, match=r"--max-mb: the map alone takes 2\.0 MB without any sound, and 1 are allowed"):
        collection_data(write_tones(tmp_path, ["a.wav", "b.wav", "c.wav"]), embeddings(3), PageOptions(most=1.0))


def test_linked_sounds_are_addressed_from_the_page(tmp_path: Path) -> None:
    names = ["in/50% #1?.wav", "in/\u00e9'\"<.wav", "in/c.wav"]
    paths = write_tones(tmp_path, names)
    raw = os.fsencode(tmp_path) + b"/in/\xff.wav"
    paths[2].rename(os.fsdecode(raw))
    (tmp_path / "out").mkdir()
    data, _ = collection_data(
        [*paths[:2], Path(os.fsdecode(raw))], embeddings(3), PageOptions(linked_from=tmp_path / "out")
    )
    assert [sound["url"] for sound in data["sounds"]] == [
        "../in/50%25%20%231%3F.wav", "../in/%C3%A9%27%22%3C.wav", "../in/%FF.wav",
    ]  # fmt: skip
    assert data["sounds"][2]["name"] == "\\xff.wav"
    assert data["linked"] and not any("audio" in sound for sound in data["sounds"])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_map_needs_three(tmp_path: Path, count: int) -> None:
    paths = write_tones(tmp_path, ["a.wav", "b.wav"][:count])
    with pytest.raises(PageError, match=f"three sounds or more, got {count}"):
        collection_data(paths, embeddings(3)[:count], PageOptions())


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    values = embeddings(3)
    values[1, 2] = np.nan
    with pytest.raises(PageError, match="not finite"):
        collection_data(write_tones(tmp_path, ["a.wav", "b.wav", "c.wav"]), values, PageOptions())


@pytest.mark.parametrize(
    ("seconds", "most"), [(0.0, 9.0), (61.0, 9.0), (float("nan"), 9.0), (3.0, 0.9), (3.0, float("nan"))]
)
def test_options_out_of_range(seconds: float, most: float) -> None:
    with pytest.raises(PageError, match="expected"):
        PageOptions(seconds, most)
