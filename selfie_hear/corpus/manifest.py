"""The files of a collection, one after the other and each once, however many there are."""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from selfie_hear.audio import EXTENSIONS, AudioError, printable
from selfie_hear.corpus.find import find_files, search_folder
from selfie_hear.parquet_rows import pyarrow_parquet

MANIFESTS = frozenset([".csv", ".tsv", ".parquet"])
KEY = 16  # bytes of a path's digest: what of each path is in memory


def each_file(sources: Sequence[str], failures: list[AudioError]) -> Iterator[str]:
    """Files of files, folders (searched for audio files), globs and manifests, perhaps some of them twice.

    Args:
        sources: a manifest is a .csv, .tsv or .parquet file with a column `path`, relative to it or absolute.
        failures: gets the folders that cannot be searched.

    Raises:
        AudioError: a source that does not exist or holds nothing, or a manifest that is none.
    """
    for text in sources:
        before, found = len(failures), False
        is_manifest = os.path.isfile(text) and Path(text).suffix.lower() in MANIFESTS  # noqa: PTH113 - long names
        if is_manifest:
            paths = _listed(Path(text))
        elif os.path.isdir(text):  # noqa: PTH112
            paths = map(str, search_folder(text, EXTENSIONS, failures))
        else:
            paths = map(str, find_files([text])[0])
        for path in paths:
            found = True
            yield path
        if not found and len(failures) == before:
            raise AudioError(f"{printable(text)}: " + ("lists no files" if is_manifest else "no audio files in it"))


def _listed(manifest: Path) -> Iterator[str]:
    read = _rows_of_parquet if manifest.suffix.lower() == ".parquet" else _rows_of_text
    for where, path in read(manifest):
        if not path or "\0" in path:
            raise AudioError(f"{printable(manifest)}: {where} has {path!r} for a path")
        yield os.path.join(manifest.parent, path)  # noqa: PTH118 - one object less for each of millions


def _rows_of_text(manifest: Path) -> Iterator[tuple[str, str]]:
    what = f"{printable(manifest)}: cannot be read as a manifest, a table in UTF-8 with a column named 'path'"
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
            reader = csv.reader(file, delimiter="\t" if manifest.suffix.lower() == ".tsv" else ",", strict=True)
            header = next(reader, [])
            if header.count("path") != 1:
                raise AudioError(f"{what}; its columns are {', '.join(header) or 'none'}")
            place = header.index("path")
            for row in reader:
                if len(row) not in (0, len(header)):
                    raise AudioError(f"{what}: line {reader.line_num} has {len(row)} columns, not {len(header)}")
                if row:
                    yield f"line {reader.line_num}", row[place]
    except (UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"{what} ({error})") from error


def _rows_of_parquet(manifest: Path) -> Iterator[tuple[str, str]]:
    what = f"{printable(manifest)}: cannot be read as a manifest, a table with texts in a column named 'path'"
    arrow, row = pyarrow_parquet(), 0
    try:
        with arrow.parquet.ParquetFile(manifest) as file:
            if "path" not in file.schema_arrow.names:
                raise AudioError(f"{what}; its columns are {', '.join(file.schema_arrow.names)}")
            for batch in file.iter_batches(columns=["path"]):
                for path in batch.column(0).cast(arrow.string()).to_pylist():
                    yield f"row {row}", path or ""
                    row += 1
    except arrow.ArrowException as error:
        raise AudioError(f"{what} ({error})") from error


class FileList:
    """Absolute paths in a Parquet file, a row group for each shard; writing it holds 16 bytes of each in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def write(paths: Iterator[str], file: IO[bytes], shard_size: int, scratch: Path) -> int:
        """Write the paths, the first of those that are the same file by folder and name; returns how many."""
        arrow = pyarrow_parquet()
        schema = arrow.schema([("path", arrow.binary())])  # names need not be text
        keys = bytearray()
        with tempfile.TemporaryFile(dir=scratch) as spool, arrow.parquet.ParquetWriter(file, schema) as writer:
            for path in paths:
                absolute = os.path.abspath(path)  # noqa: PTH100 - it need not exist
                keys += _key(absolute)
                spool.write(os.fsencode(absolute) + b"\0")
            spool.seek(0)
            kept = _first_of_each(np.frombuffer(keys, np.uint64).reshape(-1, KEY // 8))
            part: list[bytes] = []
            for chosen in _chosen(spool, kept):
                part.append(chosen)
                if len(part) == shard_size:
                    writer.write_table(arrow.table({"path": part}, schema=schema))
                    part = []
            if part:
                writer.write_table(arrow.table({"path": part}, schema=schema))
        return int(kept.sum())

    def shard(self, number: int) -> list[str]:
        """Paths of the files of a shard."""
        with pyarrow_parquet().parquet.ParquetFile(self.path) as file:
            return [os.fsdecode(path) for path in file.read_row_group(number).column(0).to_pylist()]


def _key(path: str) -> bytes:
    folder, name = os.path.split(path)
    return hashlib.blake2b(os.fsencode(os.path.join(_real(folder), name)), digest_size=KEY).digest()  # noqa: PTH118


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _first_of_each(keys: np.ndarray) -> np.ndarray:
    """Which of the rows of `keys` `(n, 2)` are not among those before them, `(n,)`."""
    order = np.lexsort(keys.T)  # stable: of equal ones the first comes first
    kept = np.ones(len(keys), bool)
    kept[order[1:]] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    return kept


def _chosen(spool: IO[bytes], kept: np.ndarray) -> Iterator[bytes]:
    """Of the NUL-ended paths in `spool` those that are kept."""
    number, rest = 0, b""
    while block := spool.read(2**20):
        *paths, rest = (rest + block).split(b"\0")
        for path in paths:
            if kept[number]:
                yield path
            number += 1
