"""A folder of short sounds, some of which cannot be read, and what is in a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from selfie_hear import Embedder
from selfie_hear.corpus import embed_collection
from selfie_hear.origin import Origin
from tests.conftest import TINY, noise, tiny_embedder

LENGTHS = (900, 16000, 5000, 5000, 24000, 5000, 700)
BAD = ("bad.wav", "half.flac")


def make_sounds(folder: Path) -> Path:
    folder.mkdir()
    for number, length in enumerate(LENGTHS):
        soundfile.write(folder / f"{number}.wav", noise(length, number).numpy(), 16000 if number % 2 else 8000)
    (folder / BAD[0]).write_text("not audio")
    soundfile.write(folder / BAD[1], noise(9000).numpy(), 16000)
    (folder / BAD[1]).write_bytes((folder / BAD[1]).read_bytes()[:-3000])
    return folder


def embed(sounds: Path, out: Path, timestamps: bool = False, **options: Any) -> Any:
    """A collection of three files a shard by the tiny model, decoded in this process unless it is said otherwise."""
    model: Embedder = tiny_embedder(TINY[0])
    options = {"shard_size": 3, "workers": 0, **options}
    return embed_collection([str(sounds)], out, model, Origin.of(model, timestamps), **options)


def content(out: Path) -> dict[str, bytes]:
    """Every file of a collection but its lock."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name != "_lock"}


def rows(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sounds(tmp_path_factory.mktemp("sounds") / "in")


@pytest.fixture(scope="session")
def whole(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that was made without interruption."""
    out = tmp_path_factory.mktemp("whole") / "out"
    embed(sounds, out)
    return out
