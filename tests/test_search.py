"""Search against a plain loop, in both engines, for recordings and moments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear import Embedder
from selfie_hear.config import ConfigError
from selfie_hear.corpus import Listener, embed_files
from selfie_hear.nearest import MEASURES, NEAREST, Found
from selfie_hear.origin import KEY, Origin
from selfie_hear.search import APART_MS, SearchError, SoundSearch
from selfie_hear.tables import open_table
from tests.conftest import noise

D = 24


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """More rows than a batch; some are the same, also across batches, one is zero, one column never changes."""
    values = np.random.default_rng(0).normal(size=(4100, D)).astype(np.float32) + 3
    values[[7, 900, 4096, 4099]] = values[7]
    values[11], values[:, 5] = 0, 2
    return values


@pytest.fixture(scope="module")
def table(values: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    with open_table(path, D, False) as out:
        for number, row in enumerate(values):
            out.add(str(number), None, row[None])
    return path


def by_hand(values: np.ndarray, query: np.ndarray, measure: str, k: int) -> list[tuple[str, float]]:
    wide, wanted = values.astype(np.float64), query.astype(np.float64)
    if measure != "plain":
        wanted, wide = wanted - wide.mean(axis=0), wide - wide.mean(axis=0)
    if measure == "standardised":
        kept = wide.std(axis=0) > 1e-6
        wanted, wide = (wanted / wide.std(axis=0))[kept], (wide / wide.std(axis=0))[:, kept]
    found = []
    for number, row in enumerate(wide):
        length = np.linalg.norm(row) * np.linalg.norm(wanted)
        found.append((round(float(row @ wanted / length), 5) if length else 0.0, -number))
    return [(str(-number), score) for score, number in sorted(found, reverse=True)[:k]]


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("engine", NEAREST)
def test_against_a_loop(values: np.ndarray, table: Path, measure: str, engine: str) -> None:
    search = SoundSearch(table, measure=measure, engine=engine)
    for k in (1, 3, 10):
        for row, hits in zip((7, 0, 4099), search.nearest(values[[7, 0, 4099]], k), strict=True):
            expected = by_hand(values, values[row], measure, k)
            assert [hit.path for hit in hits] == [path for path, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=2e-5)
            assert all(hit.time_ms is None for hit in hits)


def test_engines_agree_to_the_bit_and_equal_rows_come_in_order(values: np.ndarray, table: Path) -> None:
    found = [SoundSearch(table, engine=engine).nearest(values[[7, 20]], 5) for engine in NEAREST]
    assert found[0] == found[1]
    assert [hit.path for hit in found[0][0]][:4] == ["7", "900", "4096", "4099"]
    assert len({hit.score for hit in found[0][0][:4]}) == 1
    assert [hit.path for hit in SoundSearch(table, engine="faiss").nearest(values[[7]], 2)[0]] == ["7", "900"]


@pytest.mark.parametrize("engine", NEAREST)
def test_more_than_there_are(values: np.ndarray, tmp_path: Path, engine: str) -> None:
    with open_table(tmp_path / "a.npz", D, False) as out:
        out.add("only", None, values[:1])
    (hits,) = SoundSearch(tmp_path / "a.npz", measure="plain", engine=engine).nearest(values[:1], 10)
    assert [(hit.path, round(hit.score, 6)) for hit in hits] == [("only", 1.0)]


def test_best_is_by_score_then_row() -> None:
    found = Found.best(np.array([5, 2, 9, 1]), np.array([0.5, 0.5, 0.9, 0.1], np.float32), 3)
    assert found.rows.tolist() == [9, 2, 5]


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    """Six tones each, one after the other, no two the same; `part.wav` is the fourth of the third."""
    files = [tmp_path / f"{number}.wav" for number in range(4)]
    hiss, times = 0.01 * noise(8000).numpy(), np.arange(8000) / 16000
    tones = [0.3 * np.sin(2 * np.pi * 150 * 1.17**n * times) + hiss for n in np.random.default_rng(1).permutation(24)]
    for number, file in enumerate(files):
        soundfile.write(file, np.concatenate(tones[6 * number : 6 * number + 6]), 16000)
    soundfile.write(tmp_path / "part.wav", tones[15], 16000)
    return files


def make_table(files: list[Path], out: Path, model: Embedder, timestamps: bool) -> Path:
    size = model.timestamp_embedding_size if timestamps else model.scene_embedding_size
    with open_table(out, size, timestamps, {KEY: Origin.of(model, timestamps, "tiny").to_json()}) as table:
        assert embed_files(Listener(model, lambda *_: None), files, table, timestamps) == []
    return out


def test_a_sound_finds_itself(sounds: list[Path], tmp_path: Path, tiny: Embedder) -> None:
    search = SoundSearch(make_table(sounds, tmp_path / "t.npz", tiny, False))
    found = search.like(sounds[1:3], tiny, 2)
    assert [hits[0].path for hits in found] == [str(path) for path in sounds[1:3]]
    assert all(len(hits) == 2 and hits[0].score > 0.999 for hits in found)


@pytest.mark.parametrize("engine", NEAREST)
def test_a_piece_finds_its_moment(sounds: list[Path], tmp_path: Path, tiny: Embedder, engine: str) -> None:
    """1.5 to 2 s of the third sound; moments of one sound are apart, even if all rows must be looked at."""
    table = make_table(sounds, tmp_path / "t.parquet", tiny, True)
    search = SoundSearch(table, engine=engine)
    (hits,) = search.like([tmp_path / "part.wav"], tiny, 3)
    assert hits[0].path == str(sounds[2])
    assert hits[0].time_ms == pytest.approx(1750, abs=240)
    (everything,) = search.like([tmp_path / "part.wav"], tiny, 1000)
    assert 16 <= len(everything) <= 28
    for one in everything:
        for other in everything:
            if one is not other and one.path == other.path:
                assert abs((one.time_ms or 0) - (other.time_ms or 0)) >= APART_MS


def test_what_cannot_be_compared_is_refused(sounds: list[Path], tmp_path: Path, tiny: Embedder) -> None:
    search = SoundSearch(make_table(sounds, tmp_path / "t.npz", tiny, False))
    other = Embedder(tiny.config)
    with pytest.raises(SearchError, match=r"t.npz: holds model tiny \(online, \w+\), not the one given"):
        search.like([sounds[0]], other)
    for queries in (np.zeros((1, 3), np.float32), np.zeros(tiny.scene_embedding_size, np.float32)):
        with pytest.raises(SearchError, match="values, the queries are"):
            search.nearest(queries)
    with pytest.raises(SearchError, match="1 or more, got 0"):
        search.nearest(np.zeros((1, tiny.scene_embedding_size), np.float32), 0)
    for options in ({"measure": "taxicab"}, {"engine": "abacus"}):
        with pytest.raises(ConfigError, match="is unknown; known are"):
            SoundSearch(tmp_path / "t.npz", **options)
