"""What several tests of the trainer need: real audio, packed, a place to embed it, and a Zenodo to fetch it from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.places import Place
from tests.training.zenodo import GUNSHOT, KEY, Zenodo, make_task, tar_of
from training.corpus.extraction import extract
from training.corpus.pack import pack
from training.evaluate import embeddings

RATE = 16000


@pytest.fixture(scope="session")
def audio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 0.5 to 3 s at 16 kHz: a decaying chord each, in a little noise."""
    folder = tmp_path_factory.mktemp("audio")
    generator = np.random.default_rng(0)
    for number, seconds in enumerate((0.5, 1.0, 1.5, 2.0, 2.5, 3.0)):
        time = np.arange(int(seconds * RATE)) / RATE
        chord = sum(np.sin(2 * np.pi * hz * time) for hz in generator.uniform(100, 6000, 3))
        clip = 0.2 * chord * np.exp(-time) + 0.01 * generator.standard_normal(len(time))
        soundfile.write(folder / f"{number}.wav", clip, RATE)
    return folder


@pytest.fixture(scope="session")
def packed(audio_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips as a pack; one for all tests, which only read it."""
    out = tmp_path_factory.mktemp("packs") / "chords"
    pack([audio_folder], out, RATE, workers=1)
    return out


@pytest.fixture(scope="session")
def targets(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """openSMILE's values of its crops of 0.95 s; one for all tests, which only read it."""
    out = tmp_path_factory.mktemp("targets") / "compare"
    extract(packed, out, workers=1, part=5)
    return out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embeddings, "BATCH_SECONDS", 0.5)  # five clips
    return Place(tmp_path)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of HEAR; one for all tests, which only read it."""
    return make_task(tmp_path_factory.mktemp("source") / GUNSHOT)


@pytest.fixture
def zenodo(source: Path) -> Iterator[Zenodo]:
    """With an archive of `source`."""
    server = Zenodo()
    server.files[KEY] = tar_of(source)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def few_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run draws them twice, which takes as long as twenty steps: only where a test is about them."""
    if "curves" not in request.node.name:
        monkeypatch.setattr("training.metrics.draw_curves", lambda *_: None)
