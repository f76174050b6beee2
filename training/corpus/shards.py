"""The format of a pack: shards of 16-bit mono samples at one rate, and an index of the clips in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from selfie_hear.config import MissingExtraError
from selfie_hear.pretrained import file_digest

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("training keeps its index in Parquet: pip install 'selfie_hear[train]'") from error

FORMAT_VERSION = 2
__all__ = ["FORMAT_VERSION", "INDEX_COLUMNS", "Pack", "PackError", "pa", "pc", "pq", "shard_name"]

INDEX_COLUMNS = ("path", "shard", "offset", "samples")  # offset and samples count samples, from the shard's first


class PackError(ValueError):
    """Sources that cannot be packed, or a folder that is not a pack."""


def shard_name(number: int) -> str:
    return f"audio-{number:05d}.i16"


class Pack:
    """A folder that `pack` wrote.

    Attributes:
        sample_rate: Hz.
        shard, offset, samples: `(clips,)` int64, where each clip lies.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            PackError: not a pack, another format version, or shards that do not fit the index.
        """
        self.folder = folder
        self.about = _read_about(folder)
        self.sample_rate = int(self.about["sample_rate"])
        table = self._read(["shard", "offset", "samples"])
        self.shard, self.offset, self.samples = (table[name].to_numpy() for name in table.column_names)
        if not len(self.samples):
            raise PackError(f"{folder}: lists no clips; pack again")
        self._shards = {
            int(n): _open_shard(folder, int(n), self.about["shards"].get(shard_name(int(n))))
            for n in np.unique(self.shard)
        }

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def hours(self) -> float:
        return float(self.samples.sum()) / self.sample_rate / 3600

    def cut(self, clip: int, first: int, last: int) -> np.ndarray:
        """Samples `[first, last)` of a clip, int16, read from the disk when they are used."""
        start = self.offset[clip]
        return self._shards[self.shard[clip]][start + first : start + last]

    def column(self, name: str) -> tuple[list[str], np.ndarray]:
        """What the manifest said: the values that there are, and `(clips,)` int32, which of them each clip has.

        Raises:
            PackError: no such column; the message lists those that there are.
        """
        columns = pq.read_schema(self.folder / "index.parquet").names
        known = [column for column in columns if column not in INDEX_COLUMNS]
        if name not in known:
            raise PackError(f"{self.folder}: has no column {name!r}; its columns are {', '.join(known) or 'none'}")
        values = self._read([name])[name].combine_chunks().dictionary_encode()
        return values.dictionary.to_pylist(), values.indices.to_numpy()

    def describe(self) -> dict[str, Any]:
        """What the pack holds: clips, hours, both by source and licence where its manifest names them, and a digest."""
        schema = pq.read_schema(self.folder / "index.parquet").names
        source = next((name for name in ("source_repo", "source") if name in schema), None)
        licence = next((name for name in ("licence", "license") if name in schema), None)
        names = [name for name in (source, licence) if name]
        table = self._read([*names, "samples"])
        keys = [source or "source", licence or "licence"]
        for name in set(keys) - set(names):
            table = table.append_column(name, pa.array([""] * len(table)))
        groups = (
            table.group_by(keys)
            .aggregate([("samples", "count"), ("samples", "sum")])
            .sort_by([(key, "ascending") for key in keys])
        )
        hour = 3600 * self.sample_rate
        sources = [
            {
                "source": row[keys[0]],
                "licence": row[keys[1]],
                "clips": row["samples_count"],
                "hours": round(row["samples_sum"] / hour, 4),
            }
            for row in groups.to_pylist()
        ]
        return {
            "clips": len(self),
            "hours": self.hours,
            "sha256": file_digest(self.folder / "pack.json"),  # which holds those of the shards
            "sources": sources,
        }

    def verify(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Read everything and compare it with the checksums of `pack.json`.

        Args:
            report: called with each file that is as it was written.

        Raises:
            PackError: a file that is not.
        """
        for name, shard in {**self.about["shards"], "index.parquet": self.about["index"]}.items():
            if file_digest(self.folder / name) != shard["sha256"]:
                raise PackError(f"{self.folder / name}: damaged, its SHA-256 is not the one in pack.json; pack again")
            report(name)

    def _read(self, columns: list[str]) -> pa.Table:
        path = self.folder / "index.parquet"
        try:
            return pq.read_table(path, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise PackError(f"{path}: missing or damaged ({error}); pack again") from error


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "pack.json").read_text())
    except (OSError, ValueError) as error:
        raise PackError(f"{folder}: not a folder made by `python -m training pack` ({error})") from error
    version = about.get("format_version") if isinstance(about, dict) else None
    if version != FORMAT_VERSION:
        raise PackError(f"{folder}: pack format {version}, this version reads {FORMAT_VERSION}; pack again")
    missing = {"sample_rate", "shards", "index"} - set(about)
    if missing:
        raise PackError(f"{folder / 'pack.json'}: damaged, says nothing of {', '.join(sorted(missing))}; pack again")
    return dict(about)


def _open_shard(folder: Path, number: int, about: dict[str, Any] | None) -> np.ndarray:
    path = folder / shard_name(number)
    size = 2 * about["samples"] if about else None
    if size is None or not path.is_file() or path.stat().st_size != size:
        raise PackError(f"{path}: missing or not {size} bytes long as pack.json says; pack again")
    return np.memmap(path, dtype="<i2", mode="r")
