"""Reading tables: the kinds hold the same rows, in batches of any size, with what made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfie_hear.embeddings_file import open_embeddings, read_embeddings
from selfie_hear.origin import KEY, Origin
from selfie_hear.tables import TABLES, TableError, open_table

ORIGIN = Origin("m", "online", "0" * 64, "timestamps", "mean_max", 200.0)
VALUES = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
TIMES = np.arange(50) * 40.0


def write(path: Path, timestamps: bool, rows: int = 50) -> Path:
    with open_table(path, 3, timestamps, {KEY: ORIGIN.to_json()}) as table:
        for start in range(0, rows, 10):
            part = slice(start, start + 10) if timestamps else slice(start, start + 1)
            table.add(f"{start},ü.wav", TIMES[part] if timestamps else None, VALUES[part])
    return path


@pytest.mark.parametrize("extension", TABLES)
@pytest.mark.parametrize("timestamps", [False, True])
def test_what_was_written_is_read(tmp_path: Path, extension: str, timestamps: bool) -> None:
    path = write(tmp_path / f"out{extension}", timestamps)
    read = read_embeddings(path)
    names = [f"{start},ü.wav" for start in range(0, 50, 10)]
    assert read.paths.tolist() == (np.repeat(names, 10).tolist() if timestamps else names)
    assert read.values.dtype == np.float32
    np.testing.assert_array_equal(read.values, VALUES if timestamps else VALUES[::10])
    if timestamps:
        np.testing.assert_array_equal(read.times_ms, TIMES)
    else:
        assert read.times_ms is None
    table = open_embeddings(path)
    assert (table.size, table.timestamps) == (3, timestamps)
    assert table.origin == (None if extension == ".csv" else ORIGIN)


@pytest.mark.parametrize("extension", TABLES)
@pytest.mark.parametrize("rows", [1, 7, 50, 51])
def test_batches_join_to_the_whole(tmp_path: Path, extension: str, rows: int) -> None:
    table = open_embeddings(write(tmp_path / f"out{extension}", True))
    batches, places = list(table.batches(rows)), list(table.places(rows))
    assert all(0 < len(batch.values) <= rows for batch in batches)
    np.testing.assert_array_equal(np.concatenate([batch.values for batch in batches]), VALUES)
    for batch, (paths, times) in zip(batches, places, strict=True):
        np.testing.assert_array_equal(batch.paths, paths)
        np.testing.assert_array_equal(batch.times_ms, times)


def test_numpy_own_archives(tmp_path: Path) -> None:
    """As from an earlier version, and packed."""
    np.savez_compressed(tmp_path / "a.npz", paths=np.array(["a", "b"]), embeddings=VALUES[:2])
    read = read_embeddings(tmp_path / "a.npz")
    assert read.paths.tolist() == ["a", "b"]
    np.testing.assert_array_equal(read.values, VALUES[:2])
    assert open_embeddings(tmp_path / "a.npz").origin is None


def test_a_parquet_table_without_rows(tmp_path: Path) -> None:
    schema = pa.schema([("path", pa.string()), ("embedding", pa.list_(pa.float32(), 3))])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    read = read_embeddings(tmp_path / "a.parquet")
    assert (len(read.paths), read.values.shape) == (0, (0, 3))


def bad_tables(folder: Path) -> dict[str, str]:
    """File name to what is wrong with it."""
    (folder / "text.npz").write_text("no")
    np.savez(folder / "other.npz", x=VALUES)
    np.savez(folder / "wide.npz", paths=np.array(["a"]), embeddings=VALUES[:1].astype(np.float64))
    np.savez(folder / "short.npz", paths=np.array(["a"]), embeddings=VALUES[:2])
    (folder / "other.csv").write_text("path,label\na,dog\n")
    (folder / "empty.csv").write_text("")
    (folder / "text.parquet").write_text("no")
    pq.write_table(pa.table({"path": ["a"], "embedding": [[1.0]]}), folder / "list.parquet")
    pq.write_table(pa.table({"path": ["a"]}), folder / "other.parquet")
    (folder / "folder").mkdir()
    (folder / "a.json").write_text("{}")
    return {
        "text.npz": "not a table", "other.npz": "not a table", "wide.npz": "type float64", "short.npz": "1 paths",
        "other.csv": "its columns are not", "empty.csv": "its columns are not", "text.parquet": "not a table",
        "list.parquet": "a fixed-size list", "other.parquet": "not a table", "folder": "not a collection",
        "a.json": "ends in", "nowhere.npz": "no such file",
    }  # fmt: skip


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, message in bad_tables(tmp_path).items():
        with pytest.raises(TableError, match=message) as caught:
            open_embeddings(tmp_path / name)
        assert name in str(caught.value)
