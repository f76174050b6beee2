"""Tables of embeddings as .npz, .csv or .parquet; written to a temporary name and renamed when complete."""

from __future__ import annotations

import csv
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from selfie_hear.files import partial_path
from selfie_hear.parquet_rows import ParquetRows

ROWS = 4096  # rows that are in memory at once


class TableError(ValueError):
    """An output that cannot be written."""


class Table(ABC):
    """Rows of (path, time, embedding), a context manager: complete under its name, or not there at all."""

    def __init__(self, path: Path, size: int, timestamps: bool, about: Mapping[str, str]) -> None:
        """
        Args:
            path: of the file to write; an existing one is replaced at the end.
            size: values per embedding.
            timestamps: whether rows have a time.
            about: texts to keep beside the rows, where the format has a place for them (.csv has none).
        """
        self.path, self.size, self.timestamps, self.about = path.resolve(), size, timestamps, about
        self.partial = partial_path(self.path)
        self.rows = 0

    @abstractmethod
    def add(self, name: str, times: np.ndarray | None, embeddings: np.ndarray) -> None:
        """Add the rows of one file: `times` `(n,)` in ms or None, `embeddings` float32 `(n, size)`."""

    @abstractmethod
    def finish(self) -> None:
        """Complete the temporary file."""

    @abstractmethod
    def discard(self) -> None:
        """Close whatever is open."""

    def __enter__(self) -> Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None and self.rows:
                self.finish()
                self.partial.replace(self.path)
            else:
                self.discard()
        finally:
            self.partial.unlink(missing_ok=True)


class NpzTable(Table):
    """`paths`, `embeddings`, what is said about them; with timestamps also `timestamps_ms` and `file_index`, the row's
    place in `paths`."""

    def __init__(self, path: Path, size: int, timestamps: bool, about: Mapping[str, str]) -> None:
        super().__init__(path, size, timestamps, about)
        self._names: list[str] = []
        self._times: list[np.ndarray] = []
        self._counts: list[int] = []
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed in finish and discard

    def add(self, name: str, times: np.ndarray | None, embeddings: np.ndarray) -> None:
        self._names.append(name)
        self._counts.append(len(embeddings))
        if times is not None:
            self._times.append(times)
        for start in range(0, len(embeddings), ROWS):
            self._spool.write(np.ascontiguousarray(embeddings[start : start + ROWS], np.float32).tobytes())
        self.rows += len(embeddings)

    def finish(self) -> None:
        arrays: dict[str, np.ndarray] = {"paths": np.array(self._names)}
        if self.timestamps:
            arrays["timestamps_ms"] = np.concatenate(self._times)
            arrays["file_index"] = np.repeat(np.arange(len(self._names)), self._counts)
        arrays |= {key: np.array(text) for key, text in self.about.items()}
        with zipfile.ZipFile(self.partial, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            with archive.open("embeddings.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.size)}
                np.lib.format.write_array_header_2_0(member, header)
                self._spool.seek(0)
                shutil.copyfileobj(self._spool, member, 2**20)
        self._spool.close()

    def discard(self) -> None:
        self._spool.close()


class CsvTable(Table):
    """Columns `path`, `timestamp_ms` where there are times, `e0` ... ; values to 9 digits, which restore float32."""

    def __init__(self, path: Path, size: int, timestamps: bool, about: Mapping[str, str]) -> None:
        super().__init__(path, size, timestamps, about)
        self._file = self.partial.open("w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["path", *["timestamp_ms"] * timestamps, *(f"e{i}" for i in range(size))])

    def add(self, name: str, times: np.ndarray | None, embeddings: np.ndarray) -> None:
        for row, values in enumerate(embeddings):
            time = [] if times is None else [f"{times[row]:.4f}"]
            self._writer.writerow([name, *time, *(f"{value:.9g}" for value in values)])
        self.rows += len(embeddings)

    def finish(self) -> None:
        self._file.close()

    discard = finish


class ParquetTable(Table):
    """Columns `path`, `timestamp_ms` where there are times, and `embedding`, a fixed-size list of float32."""

    def __init__(self, path: Path, size: int, timestamps: bool, about: Mapping[str, str]) -> None:
        super().__init__(path, size, timestamps, about)
        self._rows = ParquetRows(self.partial, size, timestamps, about)

    def add(self, name: str, times: np.ndarray | None, embeddings: np.ndarray) -> None:
        self._rows.add(name, times, embeddings)
        self.rows += len(embeddings)

    def finish(self) -> None:
        self._rows.finish()

    def discard(self) -> None:
        self._rows.discard()


TABLES: dict[str, type[Table]] = {".npz": NpzTable, ".csv": CsvTable, ".parquet": ParquetTable}


def open_table(path: Path, size: int, timestamps: bool, about: Mapping[str, str] | None = None) -> Table:
    """A table of the kind that the file's name ends in; for the arguments see `Table`.

    Raises:
        TableError: another ending, a folder that does not exist, or a missing optional package.
    """
    kind = TABLES.get(path.suffix.lower())
    if kind is None:
        raise TableError(f"{path}: the output must end in {', '.join(TABLES)}")
    path = path.resolve()  # of a link, the file that it names
    if path.is_dir():
        raise TableError(f"{path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise TableError(f"{path}: the folder {path.parent} does not exist")
    try:
        return kind(path, size, timestamps, about or {})
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror})") from error
