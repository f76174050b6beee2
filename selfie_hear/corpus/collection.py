"""Any number of files to a folder of Parquet parts; killed at any moment, the same call goes on where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch

from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.corpus.decoding import Decoders
from selfie_hear.corpus.plan import LOCK, Collection, Settings, absolute_sources, begin
from selfie_hear.corpus.ray_cluster import embed_on_ray
from selfie_hear.corpus.shard import Shard, Work
from selfie_hear.embedder import Embedder
from selfie_hear.origin import Origin
from selfie_hear.parquet_rows import DTYPES, pyarrow_parquet
from selfie_hear.tables import TableError

SHARD_SIZE = 1024  # files
CORES_PER_DECODER = 8  # on a CPU, where the encoder takes ten times as long as decoding
MOST_DECODERS = 16
ENGINES = ("local", "ray")


@dataclass
class Progress:
    """How far a collection is."""

    files: int  # of the plan
    shards: int
    resumed: bool  # the list of files is that of an earlier call
    unsearched: list[str]  # folders that could not be searched when it was made, and why
    shards_done: int
    done: Work  # of finished shards; of those of earlier calls only the numbers of files
    now: Work = field(default_factory=Work)  # of the shard at hand

    @property
    def files_done(self) -> int:
        return self.done.files + self.now.files

    @property
    def failed(self) -> int:
        return self.done.failed + self.now.failed


def embed_collection(
    paths: Sequence[str],
    out: str | Path,
    embedder: Embedder,
    origin: Origin,
    *,
    dtype: str = "float32",
    shard_size: int = SHARD_SIZE,
    workers: int | None = None,
    engine: str = "local",
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Embed files into the folder `out`: `part-*.parquet`, and of files that could not be read `_errors-*.parquet`.

    Columns: `path` (absolute), `duration` (s), `digest` (SHA-256 of the file's bytes), `timestamp_ms` where the origin
    is of timestamp embeddings (a row for each), `embedding` (a fixed-size list). Which files these are is fixed by the
    first call; a later one with the same arguments does what is not done and begins the unfinished shards anew.

    Args:
        paths: files, folders, globs, and manifests (.csv, .tsv or .parquet with a column `path`).
        origin: what the embedder makes, see `Origin.of`.
        dtype: "float32" or "float16".
        shard_size: files per part.
        workers: processes that decode, 0 for none but this one, None for as many as keep the encoder busy; with the
            engine "ray", encoders, which decode themselves, None for as many as there is room for.
        engine: "local", or "ray" for a cluster: the one of `RAY_ADDRESS`, or else one on this machine.
        report: called after each file, or with "ray" each shard.

    Raises:
        TableError: `out` is of another collection, holds something else, or another process is at it.
        AudioError: nothing to embed.
        ConfigError: an unknown dtype or engine, or a number that is none.
        MissingExtraError: no pyarrow, or no ray.
    """
    if dtype not in DTYPES or engine not in ENGINES:
        what, value, known = ("dtype", dtype, DTYPES) if dtype not in DTYPES else ("engine", engine, ENGINES)
        raise ConfigError(f"{what} {value!r} is unknown; known are {', '.join(known)}")
    if shard_size < 1 or (workers or 0) < 0:
        raise ConfigError(f"expected 1 or more files per shard and 0 or more workers, got {shard_size} and {workers}")
    pyarrow_parquet()
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise MissingExtraError("collections need filelock: pip install 'selfie_hear[parquet]'") from error
    folder = Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    size = embedder.timestamp_embedding_size if origin.kind == "timestamps" else embedder.scene_embedding_size
    settings = Settings(origin, size, dtype, shard_size, absolute_sources(paths))
    try:
        with FileLock(folder / LOCK, timeout=0):  # the system lets go of it when a process is killed
            return _embed(begin(folder, paths, settings, torch.get_num_threads()), embedder, workers, engine, report)
    except Timeout as error:
        raise TableError(f"{folder}: another process is embedding into it") from error


def _embed(
    collection: Collection, embedder: Embedder, workers: int | None, engine: str, report: Callable[[Progress], None]
) -> Progress:
    todo, plan = collection.unfinished(), collection.plan
    finished = set(range(plan.shards)) - set(todo)
    earlier = Work(plan.files - sum(map(plan.count, todo)), sum(_count_errors(collection, n) for n in finished))
    progress = Progress(plan.files, plan.shards, collection.begun, plan.unsearched, len(finished), earlier)
    report(progress)

    def hear(work: Work) -> None:
        progress.now = work
        report(progress)

    if engine == "ray":
        shards = embed_on_ray(collection, todo, embedder, workers)
    else:
        shards = _embed_here(collection, todo, embedder, workers, hear)
    for work in shards:
        progress.done.add(work)
        progress.now = Work()
        progress.shards_done += 1
        report(progress)
    return progress


def _embed_here(
    collection: Collection, todo: list[int], embedder: Embedder, workers: int | None, report: Callable[[Work], None]
) -> Iterator[Work]:
    if not todo:
        return
    threads = torch.get_num_threads()
    if workers is None:
        cores = os.cpu_count() or 1
        workers = max(1, cores // CORES_PER_DECODER if embedder.device.type == "cpu" else min(cores - 1, MOST_DECODERS))
    try:
        torch.set_num_threads(collection.plan.threads)
        with Decoders(workers, embedder.sample_rate) as decoders:
            recordings = decoders.each(path for number in todo for path in collection.paths(number))
            for number in todo:
                mine = islice(recordings, collection.plan.count(number))
                yield Shard(collection, number, embedder, report).write(mine)
    finally:
        torch.set_num_threads(threads)


def _count_errors(collection: Collection, number: int) -> int:
    path = collection.errors(number)
    return int(pyarrow_parquet().parquet.read_metadata(path).num_rows) if path.exists() else 0
