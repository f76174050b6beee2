"""What can be packed: audio files, manifests, tar shards (WebDataset) and tables (Hugging Face datasets)."""

from __future__ import annotations

import csv
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from selfie_hear.audio import EXTENSIONS, AudioError, printable
from selfie_hear.corpus import find_files
from training.corpus.shards import INDEX_COLUMNS, PackError, pa, pq

TARS = frozenset([".tar", ".tgz", ".gz"])
TABLES = frozenset([".parquet", ".arrow"])
MANIFESTS = frozenset([".csv", ".tsv"])
RESERVED = frozenset([*INDEX_COLUMNS, "reason"])  # columns of the index and of the report
DAMAGE = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, pa.ArrowException)  # of a tar or a table


@dataclass(frozen=True, slots=True)
class Source:
    """An audio file, a tar shard or a table; of a file, what its manifest says (source, licence, domain, ...)."""

    path: str
    size: int  # bytes
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Clip:
    """One sound: its name, what is known of it, and the file to read or the reason why there is none."""

    name: str
    about: Mapping[str, str]
    file: Path | AudioError


def find_sources(paths: Sequence[Path]) -> tuple[list[Source], list[AudioError]]:
    """Sources among files, folders (searched), globs and manifests (CSV or TSV with a column `path`, relative to it).

    Returns:
        each source once, and the folders that could not be searched.

    Raises:
        PackError: nothing there, or a manifest that is none.
    """
    sources: dict[str, Source] = {}
    failures: list[AudioError] = []
    kinds = f"packed are manifests (.csv, .tsv) and {', '.join(sorted(EXTENSIONS | TARS | TABLES))}"
    for path in paths:
        try:
            files, unsearched = find_files([str(path)], EXTENSIONS | TARS | TABLES)
        except AudioError as error:
            raise PackError(f"{error}; {kinds}") from error
        failures += unsearched
        for file in files:
            if file.suffix.lower() in MANIFESTS:
                found = _read_manifest(file)
            else:
                found = [] if file != path and _is_by_the_way(file) else [Source(str(file), _size(file))]
            for source in found:
                sources.setdefault(os.path.realpath(source.path), source)
    if not sources:
        raise PackError("; ".join(map(str, failures)) or f"{', '.join(map(str, paths))}: nothing to pack; {kinds}")
    return list(sources.values()), failures


def _is_by_the_way(path: Path) -> bool:
    """Packed only if named: intermediate tables of Hugging Face datasets, and what is compressed but not a tar."""
    name = path.name.lower()
    cached = name.startswith("cache-") and name.endswith(".arrow")
    return cached or (name.endswith(".gz") and not name.endswith(".tar.gz"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # reading it will say what is wrong
        return 0


def _read_manifest(path: Path) -> list[Source]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            rows = [(reader.line_num, row) for row in reader]
            columns = list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise PackError(f"{path}: cannot be read as a manifest, a CSV or TSV file in UTF-8 ({error})") from error
    if not rows or "path" not in columns:
        raise PackError(f"{path}: a manifest is a CSV or TSV file with a column named 'path' and at least one row")
    taken = sorted(set(columns) & (RESERVED - {"path"}))
    if taken:
        raise PackError(f"{path}: the index has columns of its own named {', '.join(taken)}; rename the manifest's")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise PackError(f"{path}: has several columns named {', '.join(twice)}; rename them")
    short = next((line for line, row in rows if None in row.values() or None in row), None)
    if short:
        raise PackError(f"{path}: line {short} has not as many columns as the first")
    odd = next((line for line, row in rows if "\0" in row["path"]), None)
    if odd:
        raise PackError(f"{path}: line {odd} has a path with the character NUL in it")
    files = [path.parent / row.pop("path") for _, row in rows]
    return [Source(str(file), _size(file), row) for file, (_, row) in zip(files, rows, strict=True)]


def read_clips(source: Source, scratch: Path) -> Iterator[Clip]:
    """The clips of a source, in order; those inside of others are put into `scratch` one at a time.

    A damaged source ends with a clip of its own name that says why.
    """
    suffix = Path(source.path).suffix.lower()
    if suffix not in TARS | TABLES:
        yield Clip(printable(source.path), source.about, Path(source.path))
        return
    for name, about, audio in _read_members(Path(source.path)):
        if isinstance(audio, AudioError | Path):
            yield Clip(name, {**source.about, **about}, audio)
            continue
        with tempfile.NamedTemporaryFile(dir=scratch, prefix=".") as file:
            file.write(audio)
            file.flush()
            yield Clip(name, {**source.about, **about}, Path(file.name))


Member = tuple[str, dict[str, str], bytes | Path | AudioError]


def _read_members(path: Path) -> Iterator[Member]:
    read = _read_tar if path.suffix.lower() in TARS else _read_table
    empty = True
    try:
        for member in read(path):
            yield member
            empty = False
    except DAMAGE as error:
        yield printable(path), {}, AudioError(f"cannot be read to its end ({' '.join(str(error).split())})")
        return
    if empty:
        yield printable(path), {}, AudioError("holds no audio")


def _read_tar(path: Path) -> Iterator[Member]:
    """WebDataset: files that share a name up to its first dot are one sample; .json, .txt and .cls describe it."""
    key = ""
    parts: dict[str, bytes] = {}
    with tarfile.open(path) as tar:
        try:
            for member in tar:
                name = PurePosixPath(member.name)
                stem, _, kind = name.name.partition(".")
                if not member.isfile() or not stem:
                    continue
                if str(name.parent / stem) != key:
                    yield from _sample(path, key, parts)
                    key, parts = str(name.parent / stem), {}
                if name.suffix.lower() in EXTENSIONS | {".json", ".txt", ".cls"}:
                    content = tar.extractfile(member)
                    assert content is not None  # for the type checker: it is a file
                    parts[kind] = content.read()
            _refuse_cut(tar)
        except DAMAGE:
            yield from _sample(path, key, parts)
            raise
    yield from _sample(path, key, parts)


def _refuse_cut(tar: tarfile.TarFile) -> None:
    """tarfile takes a damaged header, or none, for the end, which is a block of zeros; and it reads no checksum."""
    assert tar.fileobj is not None  # for the type checker: it is open
    tar.fileobj.seek(tar.offset)
    block = tar.fileobj.read(tarfile.BLOCKSIZE)
    if not block or any(block):
        raise tarfile.ReadError(f"damaged or cut off at byte {tar.offset}")
    while tar.fileobj.read(2**20):  # gzip compares its checksum at the end of the file
        pass


def _sample(path: Path, key: str, parts: dict[str, bytes]) -> Iterator[Member]:
    about: dict[str, str] = {}
    for kind, content in parts.items():
        if kind.lower() in ("txt", "cls"):
            about[kind.lower()] = content.decode("utf-8", "backslashreplace").strip()
        if kind.lower() == "json":
            try:
                about |= _scalars(json.loads(content))
            except (ValueError, RecursionError) as error:
                name = printable(f"{path}/{key}.{kind}")
                yield name, {}, AudioError(f"not JSON ({error}); its audio is packed without it")
    for kind, content in parts.items():
        name = f"{key}.{kind}"
        if PurePosixPath(name).suffix.lower() in EXTENSIONS:
            yield printable(f"{path}/{name}"), about, content


def _read_table(path: Path) -> Iterator[Member]:
    """Hugging Face datasets: Parquet, or what save_to_disk writes; a column of (bytes, path) is audio."""
    row = 0
    for batch in _batches(path):
        columns = _audio_columns(batch.schema)
        if not columns:
            yield printable(path), {}, AudioError("no column of audio, which is a struct of 'bytes' and 'path'")
            return
        kept = [n for n, field in enumerate(batch.schema) if field.name in columns or _is_scalar(field.type)]
        for values in batch.select(kept).to_pylist():
            sounds = {column: values.pop(column, None) or {} for column in columns}
            for column, audio in sounds.items():
                place = str(row) if len(columns) == 1 else f"{row}/{column}"
                file = str(audio.get("path") or "")
                about = _scalars({"audio_path": file, **values})
                yield f"{printable(path)}#{place}{Path(file).suffix}", about, _content(path, audio.get("bytes"), file)
            row += 1


def _is_scalar(kind: pa.DataType) -> bool:
    """What is worth converting to Python values; a nested column may be large, a date may not fit."""
    of = pa.types
    tests = (of.is_string, of.is_large_string, of.is_dictionary, of.is_integer, of.is_floating, of.is_boolean)
    return any(test(kind) for test in tests)


def _audio_columns(schema: pa.Schema) -> list[str]:
    """Structs of bytes and a path, but not those that `datasets` says are images."""
    said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = said.get("info", {}).get("features", {})
    images = {name for name, about in features.items() if isinstance(about, dict) and about.get("_type") == "Image"}
    structs = [field for field in schema if pa.types.is_struct(field.type) and field.name not in images]
    return [field.name for field in structs if {"bytes", "path"} <= {part.name for part in field.type}]


def _content(path: Path, content: Any, file: str) -> bytes | Path | AudioError:
    if content is not None:
        return content if isinstance(content, bytes) else AudioError(f"its bytes are {type(content).__name__}")
    if not file:
        return AudioError("neither bytes nor path")
    place = path.parent / file
    return place if os.path.isfile(place) else AudioError(f"no bytes, and no file {printable(place)}")  # noqa: PTH113


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(os.fsencode(path)) as file:
        if path.suffix.lower() == ".parquet":
            yield from pq.ParquetFile(file).iter_batches(batch_size=16)
            return
        for batch in pa.ipc.open_stream(file):
            for start in range(0, len(batch), 16):  # as Python values a few at a time
                yield batch.slice(start, 16)


def _scalars(values: Any) -> dict[str, str]:
    """Text, numbers and truth values as columns; a name that the index needs itself gets an underscore."""
    if not isinstance(values, Mapping):
        return {}
    kept = {_text(key): _text(value) for key, value in values.items() if isinstance(value, str | int | float)}
    return {f"{key}_" if key in RESERVED else key: value for key, value in kept.items()}


def _text(value: str | int | float) -> str:
    """As text that can be written as UTF-8; JSON may hold half a surrogate pair."""
    return str(value).encode("utf-8", "backslashreplace").decode()
