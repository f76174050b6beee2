"""openSMILE's values of a pack's crops, in parallel; killed at any moment, the same call goes on where it stopped."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from selfie_hear.pretrained import file_digest
from training.corpus.crops import lay
from training.corpus.functionals import FEATURES, LEAST_SECONDS, LICENCE, functionals_at
from training.corpus.moments import Moments
from training.corpus.shards import Pack, pa, pq
from training.corpus.targets import ABOUT, CROPS, DIMENSIONS, FORMAT_VERSION, VALUES, TargetsError, working_folder
from training.corpus.workers import each_done
from training.files import appears_whole, write_whole

PART = 256  # crops that are done or not: some ten seconds of a process


@dataclass(frozen=True)
class ExtractionProgress:
    """How far a table is."""

    done: int  # crops
    crops: int
    new: int  # crops that this call has done


@dataclass(frozen=True, eq=False)
class _Job:
    """A part of the table to extract."""

    part: Path
    data: Path
    clips: np.ndarray
    starts: np.ndarray
    crop: int  # samples


def extract(
    data: Path,
    out: Path,
    crop_seconds: float = 0.95,
    crops_per_clip: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    report: Callable[[ExtractionProgress], None] = lambda _: None,
    part: int = PART,
) -> int:
    """Write the folder `out`: `values.npy`, `crops.parquet`, `dimensions.parquet`, `targets.json`; returns how many.

    The crops are fixed here, as their values are: as many of a clip as it is long, or `crops_per_clip` (fewer where a
    clip has fewer places), spread over it, one at a random place of each stretch. A short clip lies in silence. The
    values are those of the very samples that are trained on, 16 bits at the rate of the pack; each dimension is
    standardised over the table and stored in half precision. Values that are not finite become the mean, and
    dimensions that never vary become zero.

    The folder appears under its name only when it is whole. Until then it is `.NAME.extracting` beside it, where each
    part appears whole and is not done again; that takes three times the space. What the table holds does not depend
    on `workers`.

    Args:
        data: a pack.
        workers: processes; default: one per core.
        report: called after each part.
        part: crops of a part.

    Raises:
        PackError: `data` is not a pack.
        MissingExtraError: opensmile is not installed.
        TargetsError: `out` exists or was begun with other settings, or crops are too short for openSMILE.
        WorkerError: a process was killed.
    """
    if out.exists() or out.is_symlink():
        raise TargetsError(f"{out}: exists already; name a new folder")
    pack = Pack(data)
    functionals = functionals_at(pack.sample_rate)
    crop = round(crop_seconds * pack.sample_rate) if math.isfinite(crop_seconds) else 0
    if crop < 1 or np.isnan(functionals(np.zeros(crop, np.int16))).all():
        raise TargetsError(f"crops of {crop_seconds:g} s: openSMILE needs at least {LEAST_SECONDS} s")
    if crops_per_clip is not None and crops_per_clip < 1:
        raise TargetsError(f"crops_per_clip: must be at least 1, got {crops_per_clip}")
    about: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "pack": file_digest(data / "pack.json"),
        "sample_rate": pack.sample_rate,
        "crop": crop,
        "crops_per_clip": crops_per_clip,
        "seed": seed,
        "part": part,
        "features": FEATURES,
        "size": len(functionals.names),
        "opensmile": functionals.version,
        "licence": LICENCE,
    }
    folder = working_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            _same_plan(folder, about, out)
            if not (folder / CROPS).exists():  # drawn once: another numpy may draw others
                crops = dict(zip(("clip", "start"), spread(pack.samples, crop, crops_per_clip, seed), strict=True))
                with appears_whole(folder / CROPS) as file:
                    pq.write_table(pa.table(crops), file)
            clips, starts = (column.to_numpy() for column in pq.read_table(folder / CROPS).columns)
            rows = [slice(first, first + part) for first in range(0, len(clips), part)]
            jobs = [_Job(folder / f"part-{r.start:09d}.npy", data, clips[r], starts[r], crop) for r in rows]
            for leftover in folder.glob(".*"):  # of workers that were killed
                leftover.unlink()
            left = [job for job in jobs if not job.part.exists()]
            before, new = len(clips) - sum(len(job.clips) for job in left), 0
            for job in each_done(_write_part, left, workers or os.cpu_count() or 1):
                new += len(job.clips)
                report(ExtractionProgress(before + new, len(clips), new))
            _write_values([job.part for job in jobs], len(clips), functionals.names, folder)
            files = {name: file_digest(folder / name) for name in (VALUES, CROPS, DIMENSIONS)}
            write_whole(folder / ABOUT, json.dumps({**about, "crops": len(clips), "sha256": files}, indent=2) + "\n")
            folder.rename(out)
            for path in out.iterdir():  # what only served the extraction
                if path.name not in {ABOUT, *files}:
                    path.unlink()
    except Timeout as error:
        raise TargetsError(f"{out}: another process is extracting it") from error
    return len(clips)


def spread(
    samples: np.ndarray, crop: int, crops_per_clip: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The crops of a table: clip and start of each, `(crops,)` int64, in the order of the clips and of time.

    A clip's possible starts fall into as many stretches as it gets crops, with one start drawn from each.

    Args:
        samples: `(clips,)`, lengths.
        crop: samples of a crop; a clip that is shorter starts inside it, at minus the silence before it.
        crops_per_clip: default: as many as the clip is long in crops, rounded, at least one.
    """
    room = samples - crop
    places = np.abs(room) + 1
    wanted = np.maximum(1, np.rint(samples / crop)) if crops_per_clip is None else np.full(len(samples), crops_per_clip)
    counts = np.minimum(wanted.astype(np.int64), places)
    clips = np.arange(len(samples)).repeat(counts)
    stretch = np.arange(len(clips)) - (np.cumsum(counts) - counts)[clips]
    low, high = (places[clips] * at // counts[clips] for at in (stretch, stretch + 1))
    drawn = np.random.default_rng(seed).integers(low, high)
    return clips, drawn + np.minimum(0, room)[clips]


def _same_plan(folder: Path, about: dict[str, Any], out: Path) -> None:
    """A table that was begun goes on only if it would be the same table."""
    plan = folder / "plan.json"
    if not plan.exists():
        write_whole(plan, json.dumps(about))
        return
    theirs = json.loads(plan.read_text())
    changed = sorted(key for key in about.keys() | theirs.keys() if about.get(key) != theirs.get(key))
    if changed:
        raise TargetsError(
            f"{out}: was begun with other settings ({', '.join(changed)} differ); repeat those, name a new folder, or "
            f"delete {folder} to begin anew"
        )


def _write_part(job: _Job) -> None:
    pack = Pack(job.data)
    functionals = functionals_at(pack.sample_rate)
    rows = np.empty((len(job.clips), len(functionals.names)), np.float32)
    for row, clip, start in zip(rows, job.clips, job.starts, strict=True):
        crop = np.zeros(job.crop, np.int16)
        lay(pack, int(clip), int(start), crop)
        row[:] = functionals(crop)
    with appears_whole(job.part) as file:
        np.save(file, rows)


def _write_values(parts: list[Path], crops: int, names: list[str], folder: Path) -> None:
    """The values of all parts, standardised over all of them, part by part."""
    moments = Moments(len(names))
    for part in parts:
        moments.add(np.load(part))
    with appears_whole(folder / VALUES) as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (crops, len(names))}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(moments.standardise(np.load(part)).astype("<f2").tobytes())
    with appears_whole(folder / DIMENSIONS) as file:
        pq.write_table(pa.table({"name": names, "mean": moments.mean, "std": moments.std}), file)
