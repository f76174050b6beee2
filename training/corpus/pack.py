"""Audio files to shards: 16-bit mono samples at one rate, one after the other, and an index of the clips."""

from __future__ import annotations

import csv
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selfie_hear.audio import EXTENSIONS, AudioError, read_audio
from training.files import whole_folder

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
INDEX_COLUMNS = ("path", "shard", "offset", "samples")
SHARD_SAMPLES = 2**28  # 512 MiB a shard


class PackError(ValueError):
    """Sources that cannot be packed, or a folder that is not a pack."""


@dataclass(frozen=True)
class Clip:
    """A file to pack, and what its manifest says of it (source, licence, domain, ...)."""

    path: Path
    about: dict[str, str] = field(default_factory=dict)


def find_clips(sources: Sequence[Path]) -> list[Clip]:
    """Clips of audio files, folders (searched) and CSV manifests (column `path`, relative to the manifest)."""
    clips: list[Clip] = []
    for source in sources:
        if source.is_dir():
            found = [Clip(p) for p in sorted(source.rglob("*")) if p.suffix.lower() in EXTENSIONS]
        elif source.suffix.lower() == ".csv" and source.is_file():
            found = _read_manifest(source)
        elif source.is_file():
            found = [Clip(source)]
        else:
            raise PackError(f"{source}: no such file or folder")
        if not found:
            raise PackError(f"{source}: holds no audio files ({', '.join(sorted(EXTENSIONS))})")
        clips += found
    return clips


def _read_manifest(source: Path) -> list[Clip]:
    with source.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
        rows = list(csv.DictReader(file))
    if not rows or "path" not in rows[0]:
        raise PackError(f"{source}: a manifest is a CSV file with a column named 'path' and at least one row")
    taken = sorted(set(rows[0]) & set(INDEX_COLUMNS[1:]))
    if taken:
        raise PackError(f"{source}: the index has columns of its own named {', '.join(taken)}; rename the manifest's")
    short = next((number for number, row in enumerate(rows, start=2) if None in row.values() or None in row), None)
    if short:
        raise PackError(f"{source}: line {short} has not as many columns as the first")
    return [Clip(source.parent / row["path"], {k: v for k, v in row.items() if k != "path"}) for row in rows]


def pack(
    sources: Sequence[Path],
    out: Path,
    sample_rate: int = 16000,
    workers: int | None = None,
    shard_samples: int = SHARD_SAMPLES,
) -> tuple[int, int]:
    """Write the folder `out`: `audio-*.i16`, `index.csv`, `rejected.csv`, `pack.json`.

    The folder appears under its name only when it is complete.

    Returns:
        how many clips were packed and how many rejected (unreadable: listed with the reason in `rejected.csv`).

    Raises:
        PackError: nothing to pack, everything rejected, or `out` exists.
    """
    if out.exists():
        raise PackError(f"{out}: exists already; name a new folder")
    clips = find_clips(sources)
    with whole_folder(out) as partial:
        return _write(clips, partial, sample_rate, workers or os.cpu_count() or 1, shard_samples)


def _write(clips: list[Clip], folder: Path, rate: int, workers: int, shard_samples: int) -> tuple[int, int]:
    columns = list(dict.fromkeys(key for clip in clips for key in clip.about))
    kept = rejected = total = offset = 0
    shard = -1
    with (
        (folder / "index.csv").open("w", newline="", encoding="utf-8") as index_file,
        (folder / "rejected.csv").open("w", newline="", encoding="utf-8") as rejected_file,
    ):
        index, rejects = csv.writer(index_file), csv.writer(rejected_file)
        index.writerow([*INDEX_COLUMNS, *columns])
        rejects.writerow(["path", "reason"])
        for clip, samples in _decode(clips, rate, workers):
            if isinstance(samples, AudioError):
                log.warning("rejected: %s", samples)
                rejects.writerow([clip.path, samples])
                rejected += 1
                continue
            if shard < 0 or offset + len(samples) > shard_samples:
                shard, offset = shard + 1, 0
            with (folder / shard_name(shard)).open("ab") as file:
                file.write(samples.tobytes())
            index.writerow([clip.path, shard, offset, len(samples), *(clip.about.get(c, "") for c in columns)])
            offset, total, kept = offset + len(samples), total + len(samples), kept + 1
    if not kept:
        raise PackError(f"none of the {rejected} files could be read; the first reason: {_first_reason(folder)}")
    about = {"format_version": FORMAT_VERSION, "sample_rate": rate, "clips": kept, "samples": total}
    (folder / "pack.json").write_text(json.dumps(about, indent=2) + "\n")
    return kept, rejected


def _decode(clips: list[Clip], rate: int, workers: int) -> Iterator[tuple[Clip, np.ndarray | AudioError]]:
    """Decoded clips in order; a few are decoded ahead, in threads (libsndfile and soxr release the GIL)."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[tuple[Clip, Future[np.ndarray | AudioError]]] = deque()
        for clip in clips:
            ahead.append((clip, pool.submit(_to_int16, clip.path, rate)))
            if len(ahead) > 4 * workers:
                done, result = ahead.popleft()
                yield done, result.result()
        for done, result in ahead:
            yield done, result.result()


def _to_int16(path: Path, rate: int) -> np.ndarray | AudioError:
    try:
        audio = read_audio(path, rate)
    except AudioError as error:
        return error
    return np.clip(np.rint(audio * 32768.0), -32768, 32767).astype("<i2")


def _first_reason(folder: Path) -> str:
    with (folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))["reason"]


def shard_name(number: int) -> str:
    return f"audio-{number:05d}.i16"
