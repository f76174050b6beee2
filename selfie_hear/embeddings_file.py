"""Reading what `selfie-hear embed` wrote: one table (.npz, .csv, .parquet) or the folder of a collection."""

from __future__ import annotations

import csv
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from selfie_hear.config import ConfigError
from selfie_hear.origin import KEY, Origin
from selfie_hear.parquet_rows import pyarrow_parquet
from selfie_hear.tables import TableError

ROWS = 1024  # in memory at once


class Embeddings(NamedTuple):
    """Rows of a table."""

    paths: np.ndarray  # (n,) str objects
    times_ms: np.ndarray | None  # (n,) float64, of timestamp embeddings
    values: np.ndarray  # (n, D) float32


class EmbeddingsFile(ABC):
    """A table that is read in batches, so that it may be larger than memory.

    Attributes:
        path: of the file or the collection.
        origin: what made it, None where the table does not say (a .csv never does).
        size: values per embedding, D.
        timestamps: whether rows have a time.
    """

    path: Path
    origin: Origin | None
    size: int
    timestamps: bool

    @abstractmethod
    def batches(self, rows: int = ROWS) -> Iterator[Embeddings]:
        """All rows in order, at most `rows` at a time."""

    @abstractmethod
    def places(self, rows: int = ROWS) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """`paths` and `times_ms` of `batches`, without the work of reading the values."""


def open_embeddings(path: str | Path) -> EmbeddingsFile:
    """Open a table or a collection.

    Raises:
        TableError: not there, not finished, another ending, or without the columns that `selfie-hear embed` writes.
        MissingExtraError: Parquet without pyarrow.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _Parquet(path, _parts(path))
        if not path.is_file():
            raise TableError(f"{path}: no such file or folder; give what `selfie-hear embed` wrote")
        kinds = {".npz": _Npz, ".csv": _Csv}
        if path.suffix.lower() in kinds:
            return kinds[path.suffix.lower()](path)
        if path.suffix.lower() == ".parquet":
            return _Parquet(path, [path])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, ConfigError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}: not a table of embeddings ({error})") from error
    raise TableError(f"{path}: a table of embeddings ends in .npz, .csv or .parquet, or is a collection's folder")


def read_embeddings(path: str | Path) -> Embeddings:
    """All rows of a table or a collection in memory; see `open_embeddings`."""
    table = open_embeddings(path)
    batches = list(table.batches())
    if not batches:
        none = np.empty(0) if table.timestamps else None
        return Embeddings(np.empty(0, object), none, np.empty((0, table.size), np.float32))
    times = [batch.times_ms for batch in batches if batch.times_ms is not None]
    return Embeddings(
        np.concatenate([batch.paths for batch in batches]),
        np.concatenate(times) if times else None,
        np.concatenate([batch.values for batch in batches]),
    )


class _Npz(EmbeddingsFile):
    """The values are read from the archive as they are needed; paths and times are in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path, allow_pickle=False) as file:
            self.origin = Origin.from_json(str(file[KEY])) if KEY in file else None
            self._paths = file["paths"].astype(object)
            self._times = file.get("timestamps_ms")
            if self._times is not None:
                self._paths = self._paths[file["file_index"]]
        self.timestamps = self._times is not None
        with zipfile.ZipFile(path) as archive, archive.open("embeddings.npy") as member:
            shape = self._header(member)
        if len(shape) != 2 or shape[0] != len(self._paths):
            raise TableError(f"{path}: has {len(self._paths)} paths and embeddings of shape {shape}")
        self.size = shape[1]

    @staticmethod
    def _header(member: Any) -> tuple[int, ...]:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(member)
        if fortran or dtype != np.float32:
            raise ValueError(f"embeddings of type {dtype}, expected float32 by rows")
        return tuple(shape)

    def batches(self, rows: int = ROWS) -> Iterator[Embeddings]:
        with zipfile.ZipFile(self.path) as archive, archive.open("embeddings.npy") as member:
            self._header(member)
            for paths, times in self.places(rows):
                values = np.frombuffer(member.read(4 * len(paths) * self.size), "<f4").reshape(len(paths), self.size)
                yield Embeddings(paths, times, values)

    def places(self, rows: int = ROWS) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for start in range(0, len(self._paths), rows):
            part = slice(start, start + rows)
            yield self._paths[part], None if self._times is None else self._times[part]


class _Csv(EmbeddingsFile):
    def __init__(self, path: Path) -> None:
        self.path, self.origin = path, None
        header = next(self._lines(), [])
        self._first = 2 if header[1:2] == ["timestamp_ms"] else 1
        self.timestamps = self._first == 2
        self.size = len(header) - self._first
        if header[:1] != ["path"] or header[self._first :] != [f"e{i}" for i in range(self.size)] or not self.size:
            raise TableError(f"{path}: its columns are not path, e0, e1, ... or path, timestamp_ms, e0, ...")

    def _lines(self) -> Iterator[list[str]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            yield from csv.reader(file)

    def batches(self, rows: int = ROWS) -> Iterator[Embeddings]:
        lines = self._lines()
        next(lines)
        while held := list(islice(lines, rows)):
            values = np.array([line[self._first :] for line in held], np.float32)
            yield Embeddings(*self._place(held), values)

    def places(self, rows: int = ROWS) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return ((batch.paths, batch.times_ms) for batch in self.batches(rows))

    def _place(self, lines: list[list[str]]) -> tuple[np.ndarray, np.ndarray | None]:
        times = np.array([float(line[1]) for line in lines]) if self.timestamps else None
        return np.array([line[0] for line in lines], object), times


class _Parquet(EmbeddingsFile):
    def __init__(self, path: Path, parts: list[Path]) -> None:
        self.path, self._parts = path, parts
        arrow, schema = pyarrow_parquet(), pyarrow_parquet().parquet.read_schema(parts[0])
        kind = schema.field("embedding").type
        if "path" not in schema.names or not arrow.types.is_fixed_size_list(kind):
            raise TableError(f"{path}: has no columns path and embedding, a fixed-size list")
        self.size, self.timestamps = kind.list_size, "timestamp_ms" in schema.names
        said = (schema.metadata or {}).get(KEY.encode())
        self.origin = Origin.from_json(said.decode()) if said else None

    def batches(self, rows: int = ROWS) -> Iterator[Embeddings]:
        for batch in self._read(rows, ["embedding"]):
            values = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
            yield Embeddings(*self._place(batch), values.astype(np.float32, copy=False).reshape(len(batch), self.size))

    def places(self, rows: int = ROWS) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return (self._place(batch) for batch in self._read(rows, []))

    def _read(self, rows: int, columns: list[str]) -> Iterator[Any]:
        for part in self._parts:
            with pyarrow_parquet().parquet.ParquetFile(part) as file:
                named = ["path", *["timestamp_ms"] * self.timestamps, *columns]
                yield from file.iter_batches(rows, columns=named)

    def _place(self, batch: Any) -> tuple[np.ndarray, np.ndarray | None]:
        times = batch.column("timestamp_ms").to_numpy() if self.timestamps else None
        return batch.column("path").to_numpy(zero_copy_only=False), times


def _parts(folder: Path) -> list[Path]:
    """The parts of a finished collection, in order."""
    plan = folder / "_plan.json"
    if not plan.is_file():
        raise TableError(f"{folder}: is a folder, but not a collection that `selfie-hear embed` made (no _plan.json)")
    parts = [folder / f"part-{number:05d}.parquet" for number in range(json.loads(plan.read_text())["shards"])]
    missing = [part for part in parts if not part.is_file()]
    if missing:
        raise TableError(
            f"{folder}: is not finished, {len(missing)} of {len(parts)} shards are missing; "
            "the command that began it goes on from there"
        )
    return parts
