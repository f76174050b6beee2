"""Sources to a pack, in parallel; killed at any moment, the same call goes on where it stopped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from selfie_hear.audio import AudioError, printable, stream_audio
from selfie_hear.pretrained import file_digest
from training.corpus.shards import FORMAT_VERSION, INDEX_COLUMNS, PackError, pa, pc, pq, shard_name
from training.corpus.sources import Source, find_sources, read_clips
from training.corpus.workers import each_done
from training.files import appears_whole, write_whole

log = logging.getLogger(__name__)

MOST_SHARDS = 512  # each is one open file while training
LEAST_BYTES = 2**23  # of source files in a shard: enough shards for all cores, none of a few clips


@dataclass(frozen=True)
class Progress:
    """How far a pack is."""

    shards_done: int
    shards: int
    clips: int
    rejected: int
    hours: float  # of audio


@dataclass(frozen=True)
class _Job:
    """One shard to write."""

    number: int
    sources: list[Source]
    folder: Path
    sample_rate: int

    @property
    def index(self) -> Path:
        return self.folder / f"index-{self.number:05d}.parquet"


def pack(
    paths: Sequence[Path],
    out: Path,
    sample_rate: int = 16000,
    workers: int | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    shard_bytes: int = LEAST_BYTES,
) -> Progress:
    """Write the folder `out`: `audio-*.i16`, `index.parquet`, `rejected.csv`, `pack.json`.

    The folder appears under its name only when it is complete. Until then it is `.NAME.packing` beside it; each shard
    appears there whole, with its part of the index, and is not done again. What the pack holds does not depend on
    `workers`.

    Args:
        workers: processes; default: one per core.
        report: called after each shard.
        shard_bytes: least size of the source files of a shard.

    Raises:
        PackError: nothing to pack, everything rejected, `out` exists, or `out` was begun with other sources.
        WorkerError: a process was killed; the same call goes on.
    """
    if out.exists() or out.is_symlink():
        raise PackError(f"{out}: exists already; name a new folder")
    sources, failures = find_sources(paths)
    folder = out.with_name(f".{out.name}.packing")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            _same_plan(folder, sources, (sample_rate, shard_bytes), out)
            jobs = [_Job(n, part, folder, sample_rate) for n, part in enumerate(_split(sources, shard_bytes))]
            done = _write_shards(jobs, folder, len(failures), workers or os.cpu_count() or 1, report)
            _write_index(jobs, failures, folder, done)
            folder.rename(out)
            _tidy(out)
    except Timeout as error:
        raise PackError(f"{out}: another process is packing it") from error
    return done


def _write_shards(
    jobs: list[_Job], folder: Path, unsearched: int, workers: int, report: Callable[[Progress], None]
) -> Progress:
    for leftover in folder.glob(".*"):  # of workers that were killed
        leftover.unlink()
    done = Progress(0, len(jobs), 0, unsearched, 0.0)
    for job in _run(jobs, workers):
        rows = pq.read_table(job.index, columns=["samples", "reason"])
        kept = rows.filter(pc.is_null(rows["reason"]))
        done = Progress(
            done.shards_done + 1,
            done.shards,
            done.clips + len(kept),
            done.rejected + len(rows) - len(kept),
            done.hours + (pc.sum(kept["samples"]).as_py() or 0) / job.sample_rate / 3600,
        )
        report(done)
    return done


def _same_plan(folder: Path, sources: list[Source], layout: tuple[int, int], out: Path) -> None:
    """A pack that was begun goes on only if it would be the same pack."""
    digest = hashlib.sha256(repr((FORMAT_VERSION, layout)).encode())
    for source in sources:
        digest.update(repr((source.path, source.size, sorted(source.about.items()))).encode("utf-8", "surrogateescape"))
    plan = folder / "plan.sha256"
    if not plan.exists():
        write_whole(plan, digest.hexdigest())
    elif plan.read_text() != digest.hexdigest():
        raise PackError(
            f"{out}: was begun with other sources or settings; repeat those, name a new folder, or delete {folder} to "
            "begin anew"
        )


def _split(sources: list[Source], shard_bytes: int) -> Iterator[list[Source]]:
    """Sources for each shard, in order: of about equal size in bytes."""
    size = max(shard_bytes, sum(source.size for source in sources) // MOST_SHARDS + 1)
    part: list[Source] = []
    filled = 0
    for source in sources:
        part.append(source)
        filled += source.size
        if filled >= size:
            yield part
            part, filled = [], 0
    if part:
        yield part


def _run(jobs: list[_Job], workers: int) -> Iterator[_Job]:
    """Do the jobs that are not done, the part of the index being the last thing that a job writes; yields them all."""
    yield from (done := [job for job in jobs if job.index.exists()])
    yield from each_done(_write_shard, [job for job in jobs if job not in done], workers)


def _write_shard(job: _Job) -> None:
    """`audio-NUMBER.i16`, then its part of the index, which says that the shard is whole."""
    rows: list[dict[str, str | int | None]] = []
    path = job.folder / shard_name(job.number)
    with appears_whole(path) as audio:
        for source in job.sources:
            for clip in read_clips(source, job.folder):
                start = audio.tell()
                reason = _append(clip.file, job.sample_rate, audio)
                place = {"shard": job.number, "offset": start // 2, "samples": (audio.tell() - start) // 2}
                rows.append({"path": clip.name, **place, "reason": reason, **clip.about})
                if reason:
                    log.warning("rejected: %s: %s", clip.name, reason)
        size = audio.tell()
    shard = {"sha256": file_digest(path), "samples": str(size // 2)}
    names = dict.fromkeys([*INDEX_COLUMNS, "reason", *(key for row in rows for key in row)])
    numbers = ("shard", "offset", "samples")
    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in names], shard)
    with appears_whole(job.index) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file)


def _append(file: Path | AudioError, sample_rate: int, audio: io.BufferedRandom) -> str | None:
    """Write a file's samples at the end of `audio`, or nothing; returns what is wrong with it."""
    start = audio.tell()
    try:
        if isinstance(file, AudioError):
            raise file
        for block in stream_audio(file, sample_rate):
            audio.write(np.clip(np.rint(block * 32768.0), -32768, 32767).astype("<i2").tobytes())
    except AudioError as error:
        audio.seek(start)
        audio.truncate()
        if isinstance(file, AudioError):
            return str(error)
        opening = f"Error opening {os.fsencode(file)!r}: "  # libsndfile's: the name may be a temporary file's
        return str(error).removeprefix(f"{printable(file)}: ").replace(opening, "")
    return None


def _write_index(jobs: list[_Job], failures: list[AudioError], folder: Path, done: Progress) -> None:
    """Join the parts of the index and say what the folder holds; what remains is renaming it."""
    parts = [pq.read_table(job.index) for job in jobs]
    rows = pa.concat_tables([part.replace_schema_metadata() for part in parts], promote_options="default")
    rejected = rows.filter(pc.is_valid(rows["reason"])).select(["path", "reason"]).to_pylist()
    rejected += [dict(zip(("path", "reason"), str(error).rsplit(": ", 1), strict=True)) for error in failures]
    if not done.clips:
        shutil.rmtree(folder)
        first = f"{rejected[0]['path']}: {rejected[0]['reason']}" if rejected else "they hold no clips"
        raise PackError(f"none of the {len(rejected)} files could be read; the first reason: {first}")
    text = io.StringIO()
    report = csv.DictWriter(text, ("path", "reason"))
    report.writeheader()
    report.writerows(rejected)
    write_whole(folder / "rejected.csv", text.getvalue())
    index = rows.filter(pc.is_null(rows["reason"])).drop_columns(["reason"])
    for place, name in enumerate(index.column_names):
        if name not in INDEX_COLUMNS:  # a manifest that has no such column says nothing
            index = index.set_column(place, name, pc.fill_null(index[name], ""))
    with appears_whole(folder / "index.parquet") as file:
        pq.write_table(index, file)
    shards = {
        shard_name(job.number): {
            "samples": int(part.schema.metadata[b"samples"]),
            "sha256": part.schema.metadata[b"sha256"].decode(),
        }
        for job, part in zip(jobs, parts, strict=True)
    }
    about = {
        "format_version": FORMAT_VERSION,
        "sample_rate": jobs[0].sample_rate,
        "clips": done.clips,
        "hours": round(done.hours, 4),
        "rejected": len(rejected),
        "index": {"sha256": file_digest(folder / "index.parquet")},
        "shards": {name: shard for name, shard in shards.items() if shard["samples"]},
    }
    write_whole(folder / "pack.json", json.dumps(about, indent=2) + "\n")


def _tidy(out: Path) -> None:
    """Remove what only served the packing."""
    shards = json.loads((out / "pack.json").read_text())["shards"]
    for path in out.iterdir():
        if path.name not in {"pack.json", "index.parquet", "rejected.csv", *shards}:
            path.unlink()
