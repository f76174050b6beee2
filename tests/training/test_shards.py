"""Reading a pack, whole and damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from training.corpus.pack import pack
from training.corpus.shards import FORMAT_VERSION, INDEX_COLUMNS, Pack, PackError, shard_name

RATE = 8000
LENGTHS = (50, 110, 230, 20)
MANIFEST = '''path,source,licence,title
0.wav,B,CC0-1.0,one
1.wav,A,CC-BY-4.0,"two, or ""three"""
2.wav,B,CC0-1.0,
3.wav,B,CC-BY-4.0,Größe
'''


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clip c holds the samples 1000 c, 1000 c + 1, ...; two clips in the first shard, one in each other."""
    audio = tmp_path_factory.mktemp("ramps")
    for clip, length in enumerate(LENGTHS):
        ramp = np.arange(1000 * clip, 1000 * clip + length, dtype=np.int16)
        soundfile.write(audio / f"{clip}.wav", ramp, RATE, subtype="PCM_16")
    (audio / "clips.csv").write_text(MANIFEST, encoding="utf-8")
    pack([audio / "clips.csv"], audio / "pack", RATE, workers=1, shard_bytes=44 + 2 * LENGTHS[0] + 1)
    return audio / "pack"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "pack"))


def change_about(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    about = json.loads((folder / "pack.json").read_text())
    change(about)
    (folder / "pack.json").write_text(json.dumps(about))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_clips_lie_where_the_index_says(made: Path) -> None:
    pack = Pack(made)
    assert len(pack) == 4
    assert pack.sample_rate == RATE
    assert pack.shard.tolist() == [0, 0, 1, 2]
    assert pack.offset.tolist() == [0, 50, 0, 0]
    assert pack.samples.tolist() == list(LENGTHS)
    assert {column.dtype for column in (pack.shard, pack.offset, pack.samples)} == {np.dtype(np.int64)}


@pytest.mark.parametrize(("clip", "first", "last"), [(0, 0, 50), (1, 0, 110), (1, 7, 9), (2, 229, 230), (3, 5, 5)])
def test_a_cut_is_these_samples_of_the_clip(made: Path, clip: int, first: int, last: int) -> None:
    cut = Pack(made).cut(clip, first, last)
    assert cut.dtype == np.int16
    assert cut.tolist() == list(range(1000 * clip + first, 1000 * clip + last))


def test_nothing_that_reads_can_write(made: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Pack(made).cut(0, 0, 2)[:] = 0


def test_the_length_in_hours(made: Path) -> None:
    assert Pack(made).hours == pytest.approx(sum(LENGTHS) / RATE / 3600, rel=1e-12)


def test_columns_of_the_manifest(made: Path) -> None:
    pack = Pack(made)
    for name, expected in {"source": ["B", "A", "B", "B"], "title": ["one", 'two, or "three"', "", "Größe"]}.items():
        values, which = pack.column(name)
        assert [values[n] for n in which] == expected
        assert len(values) == len(set(expected))


@pytest.mark.parametrize("name", ["domain", "path", "samples", ""])
def test_an_unknown_column_lists_those_that_there_are(made: Path, name: str) -> None:
    with pytest.raises(PackError, match=rf"no column '{name}'; its columns are source, licence, title$"):
        Pack(made).column(name)


def test_a_pack_without_a_manifest_has_no_columns(packed: Path) -> None:
    with pytest.raises(PackError, match="its columns are none"):
        Pack(packed).column("source")


def test_a_description_by_source_and_licence(made: Path) -> None:
    about = Pack(made).describe()
    assert about["clips"] == 4
    assert about["hours"] == Pack(made).hours
    assert about["sha256"] == sha256((made / "pack.json").read_bytes()).hexdigest()
    hour = RATE * 3600
    assert about["sources"] == [
        {"source": "A", "licence": "CC-BY-4.0", "clips": 1, "hours": round(110 / hour, 4)},
        {"source": "B", "licence": "CC-BY-4.0", "clips": 1, "hours": round(20 / hour, 4)},
        {"source": "B", "licence": "CC0-1.0", "clips": 2, "hours": round(280 / hour, 4)},
    ]
    json.dumps(about)  # it goes into run folders and model cards


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("source_repo,source,licence", [("r/1", "l"), ("r/2", "l")]),  # the repository says more than its name
        ("source", [("s", "")]),
        ("licence", [("", "l")]),
        ("domain", [("", "")]),
    ],
)
def test_a_description_of_what_the_manifest_names(tmp_path: Path, columns: str, expected: list) -> None:
    values = {"source": "s", "licence": "l", "domain": "d"}
    rows = [{"path": f"{n}.wav", "source_repo": f"r/{n}", **values} for n in (1, 2)]
    for row in rows:
        soundfile.write(tmp_path / row["path"], np.full(7200, 0.5), 2)  # an hour at 2 Hz
    names = ["path", *columns.split(",")]
    lines = [",".join(names), *(",".join(row[name] for name in names) for row in rows)]
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    pack([tmp_path / "clips.csv"], tmp_path / "out", 2, workers=1)
    sources = Pack(tmp_path / "out").describe()["sources"]
    assert [(row["source"], row["licence"]) for row in sources] == expected
    assert [row["clips"] for row in sources] == [2 // len(expected)] * len(expected)
    assert [row["hours"] for row in sources] == [2.0 / len(expected)] * len(expected)


def test_a_whole_pack_passes_verification(made: Path) -> None:
    seen: list[str] = []
    Pack(made).verify(seen.append)
    assert seen == [shard_name(0), shard_name(1), shard_name(2), "index.parquet"]


@pytest.mark.parametrize("name", [shard_name(0), shard_name(2)])
def test_a_flipped_bit_in_a_shard_is_found(folder: Path, name: str) -> None:
    flip(folder / name, 11)
    with pytest.raises(PackError, match=rf"{name}: damaged, its SHA-256 .* pack again"):
        Pack(folder).verify()


def test_a_flipped_bit_in_the_index_is_found(folder: Path) -> None:
    """In the middle of its statistics, which nobody reads."""
    index = folder / "index.parquet"
    place = index.read_bytes().rindex(b"CC-BY-4.0")
    pack = Pack(folder)
    flip(index, place)
    with pytest.raises(PackError, match=r"index\.parquet: damaged, its SHA-256"):
        pack.verify()


def test_a_file_lost_after_opening_fails_verification(folder: Path) -> None:
    pack = Pack(folder)
    (folder / shard_name(1)).unlink()
    with pytest.raises((PackError, FileNotFoundError), match=shard_name(1)):
        pack.verify()


@pytest.mark.parametrize("change", [-2, -1, 1, 2])
def test_a_shard_of_another_length_is_refused(folder: Path, change: int) -> None:
    path = folder / shard_name(1)
    path.write_bytes((path.read_bytes() + b"xx")[: 2 * LENGTHS[2] + change])
    with pytest.raises(PackError, match=rf"{shard_name(1)}: missing or not {2 * LENGTHS[2]} bytes long"):
        Pack(folder)


def test_a_missing_shard_is_refused(folder: Path) -> None:
    (folder / shard_name(2)).unlink()
    with pytest.raises(PackError, match=rf"{shard_name(2)}: missing"):
        Pack(folder)


def test_a_shard_that_pack_json_does_not_name_is_refused(folder: Path) -> None:
    change_about(folder, lambda about: about["shards"].pop(shard_name(1)))
    with pytest.raises(PackError, match=shard_name(1)):
        Pack(folder)


@pytest.mark.parametrize("version", [1, FORMAT_VERSION + 1, str(FORMAT_VERSION), None])
def test_another_format_version_is_refused(folder: Path, version: object) -> None:
    change_about(folder, lambda about: about.update(format_version=version))
    with pytest.raises(PackError, match=f"pack format {version}, this version reads {FORMAT_VERSION}; pack again"):
        Pack(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"2", b"null", b"{}"])
def test_a_damaged_pack_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / "pack.json").write_bytes(content)
    with pytest.raises(PackError, match="not a folder made by|pack format None"):
        Pack(folder)


@pytest.mark.parametrize("key", ["sample_rate", "shards", "index"])
def test_a_pack_json_that_lacks_what_is_needed_is_refused(folder: Path, key: str) -> None:
    change_about(folder, lambda about: about.pop(key))
    with pytest.raises(PackError, match=rf"pack\.json: damaged, says nothing of {key}"):
        Pack(folder)


@pytest.mark.parametrize("size", [0, 10, 500])
def test_a_damaged_index_is_refused(folder: Path, size: int) -> None:
    index = folder / "index.parquet"
    index.write_bytes(index.read_bytes()[:size])
    with pytest.raises(PackError, match=r"index\.parquet: missing or damaged .*pack again"):
        Pack(folder)


def test_a_missing_index_is_refused(folder: Path) -> None:
    (folder / "index.parquet").unlink()
    with pytest.raises(PackError, match=r"index\.parquet: missing or damaged"):
        Pack(folder)


def test_an_index_without_its_columns_is_refused(folder: Path) -> None:
    pq.write_table(pa.table({"path": ["a"], "shard": [0]}), folder / "index.parquet")
    with pytest.raises(PackError, match=r"index\.parquet: missing or damaged"):
        Pack(folder)


def test_an_index_without_clips_is_refused(folder: Path) -> None:
    index = pq.read_table(folder / "index.parquet")
    pq.write_table(index.slice(0, 0), folder / "index.parquet")
    with pytest.raises(PackError, match="lists no clips; pack again"):
        Pack(folder)


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PackError, match="not a folder made by `python -m training pack`"):
            Pack(folder)


def test_the_columns_that_manifests_may_not_have() -> None:
    """A change of these is a change of the format."""
    assert INDEX_COLUMNS == ("path", "shard", "offset", "samples")
    assert FORMAT_VERSION == 2
