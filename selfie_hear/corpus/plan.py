"""What a collection will hold: fixed when it is begun, in a file that every later call goes by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfie_hear.audio import AudioError, printable
from selfie_hear.config import from_dict, to_dict
from selfie_hear.corpus.manifest import FileList, each_file
from selfie_hear.files import appears_whole, write_whole
from selfie_hear.origin import Origin
from selfie_hear.tables import TableError

FORMAT_VERSION = 1
PLAN, FILES, LOCK = "_plan.json", "_files.parquet", "_lock"  # readers of Parquet folders pass over names with _


@dataclass(frozen=True)
class Settings:
    """What the rows depend on, and how they are split."""

    origin: Origin
    size: int  # values per embedding
    dtype: str  # of the values
    shard_size: int  # files per shard
    sources: Any  # list of str: files, folders, globs and manifests that were named


@dataclass(frozen=True)
class Plan:
    """`_plan.json`; the paths are in `_files.parquet`, the shards in `part-*.parquet`."""

    format_version: int
    settings: Settings
    files: int
    shards: int
    threads: int  # of the encoder on a CPU: with another number sums round otherwise
    unsearched: Any  # list of str: folders that could not be searched

    def count(self, number: int) -> int:
        """Files of a shard."""
        return min(self.settings.shard_size, self.files - number * self.settings.shard_size)


@dataclass(frozen=True)
class Collection:
    """A folder with a plan, and which of it is done."""

    folder: Path
    plan: Plan
    begun: bool  # by an earlier call

    def part(self, number: int) -> Path:
        """Of a shard; it is there when the shard is finished."""
        return self.folder / f"part-{number:05d}.parquet"

    def errors(self, number: int) -> Path:
        """Of a shard; it is there if some of its files could not be embedded."""
        return self.folder / f"_errors-{number:05d}.parquet"

    def paths(self, number: int) -> list[str]:
        """Of the files of a shard, absolute."""
        return FileList(self.folder / FILES).shard(number)

    def unfinished(self) -> list[int]:
        """Numbers of the shards that are not there yet."""
        return [number for number in range(self.plan.shards) if not self.part(number).exists()]


def begin(folder: Path, paths: Sequence[str], settings: Settings, threads: int) -> Collection:
    """Plan a collection of `paths`, or go on with the plan that is there.

    Raises:
        TableError: the plan is of another collection, or the folder holds something else.
        AudioError: see `each_file`.
    """
    for leftover in folder.glob(".*.partial-*"):  # of a process that was killed
        leftover.unlink()
    if (folder / PLAN).exists():
        plan = read_plan(folder)
        _refuse_others(folder, plan.settings, settings)
        return Collection(folder, plan, True)
    strange = sorted(path.name for path in folder.iterdir() if path.name not in (FILES, LOCK))
    if strange:
        raise TableError(f"{folder}: holds {strange[0]}, but no collection; name a new or an empty folder")
    failures: list[AudioError] = []
    with appears_whole(folder / FILES) as file:
        files = FileList.write(each_file(paths, failures), file, settings.shard_size, folder)
        if not files:
            raise AudioError("; ".join(map(str, failures)))
    unsearched = [str(failure) for failure in failures]
    plan = Plan(FORMAT_VERSION, settings, files, -(-files // settings.shard_size), threads, unsearched)
    write_whole(folder / PLAN, json.dumps(to_dict(plan), indent=2) + "\n")
    return Collection(folder, plan, False)


def read_plan(folder: Path) -> Plan:
    """
    Raises:
        TableError: not the plan of a collection, or another format.
    """
    try:
        values = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if values["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {values['format_version']!r}, this version reads {FORMAT_VERSION}")
        return from_dict(Plan, values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{folder / PLAN}: not the plan of a collection ({error})") from error


def absolute_sources(paths: Sequence[str]) -> list[str]:
    """The same wherever the next call is made from."""
    return [printable(os.path.abspath(path)) for path in paths]  # noqa: PTH100 - a glob stays one


def _refuse_others(folder: Path, begun: Settings, now: Settings) -> None:
    differences = list(_differences(begun, now))
    if differences:
        raise TableError(
            f"{folder}: was begun with {'; '.join(differences)}; repeat the command that began it, or name a new folder"
        )


def _differences(begun: Settings, now: Settings) -> Iterator[str]:
    yield from begun.origin.differences(now.origin)
    if begun.dtype != now.dtype:
        yield f"values of {begun.dtype}, not {now.dtype}"
    if begun.shard_size != now.shard_size:
        yield f"{begun.shard_size} files per shard, not {now.shard_size}"
    if begun.sources != now.sources:
        yield f"the files of {' '.join(begun.sources)}, not {' '.join(now.sources)}"
