"""Output tables: the three kinds hold the same rows, complete or not at all."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from selfie_hear.tables import TABLES, TableError, open_table

VALUES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
TIMES = np.array([15.0, 55.0, 95.0])


def write(path: Path, timestamps: bool) -> None:
    with open_table(path, 3, timestamps) as table:
        table.add("a.wav", TIMES if timestamps else None, VALUES[:3] if timestamps else VALUES[:1])
        table.add('b,"c".wav', TIMES[:2] if timestamps else None, VALUES[3:] if timestamps else VALUES[1:2])


def read(path: Path) -> tuple[list[str], list[float], np.ndarray]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            names = [str(name) for name in file["paths"]]
            if "file_index" in file:
                names = [names[index] for index in file["file_index"]]
            return names, list(file["timestamps_ms"]) if "timestamps_ms" in file else [], file["embeddings"]
    if path.suffix == ".csv":
        with path.open(newline="") as text:
            rows = list(csv.DictReader(text))
        values = np.array([[np.float32(row[f"e{i}"]) for i in range(3)] for row in rows])
        return (
            [row["path"] for row in rows],
            [float(row["timestamp_ms"]) for row in rows if "timestamp_ms" in row],
            values,
        )
    columns = pyarrow.parquet.read_table(path).to_pydict()
    return columns["path"], columns.get("timestamp_ms", []), np.array(columns["embedding"], np.float32)


@pytest.mark.parametrize("extension", TABLES)
def test_scene_rows(tmp_path: Path, extension: str) -> None:
    write(tmp_path / f"out{extension}", timestamps=False)
    names, times, values = read(tmp_path / f"out{extension}")
    assert names == ["a.wav", 'b,"c".wav']
    assert times == []
    np.testing.assert_array_equal(values, VALUES[:2])


@pytest.mark.parametrize("extension", TABLES)
def test_timestamp_rows(tmp_path: Path, extension: str) -> None:
    write(tmp_path / f"out{extension}", timestamps=True)
    names, times, values = read(tmp_path / f"out{extension}")
    assert names == ["a.wav"] * 3 + ['b,"c".wav'] * 2
    assert times == [15.0, 55.0, 95.0, 15.0, 55.0]
    np.testing.assert_array_equal(values, VALUES)


@pytest.mark.parametrize("extension", TABLES)
def test_an_interrupted_table_leaves_the_old_one(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out{extension}"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), open_table(path, 3, False) as table:
        table.add("a.wav", None, VALUES[:1])
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", TABLES)
def test_a_table_without_rows_is_not_written(tmp_path: Path, extension: str) -> None:
    with open_table(tmp_path / f"out{extension}", 3, False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_parquet_rows_of_many_files_share_a_row_group(tmp_path: Path) -> None:
    with open_table(tmp_path / "out.parquet", 3, False) as table:
        for _ in range(5000):
            table.add("a.wav", None, VALUES[:1])
    metadata = pyarrow.parquet.read_metadata(tmp_path / "out.parquet")
    assert (metadata.num_rows, metadata.num_row_groups) == (5000, 2)


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write(tmp_path / "link.csv", timestamps=False)
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read(tmp_path / "real.csv")[0]) == 2


def test_bad_names(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"must end in \.npz, \.csv, \.parquet"):
        open_table(tmp_path / "out.txt", 3, False)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        open_table(tmp_path / "folder.npz", 3, False)
    with pytest.raises(TableError, match="does not exist"):
        open_table(tmp_path / "nowhere" / "out.csv", 3, False)
