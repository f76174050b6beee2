"""Fetch tasks of HEAR 2021 into a folder, each resampled and whole, or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import zlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath

import soundfile
from filelock import FileLock, Timeout

from selfie_hear.audio import AudioError, read_audio
from training.evaluate.hear.archives import FetchProgress, Report, download, find_archives
from training.evaluate.hear.tasks import ARCHIVE_RATE, BY_NAME, HearTask, HearTasksError, find_clips, read_splits
from training.files import whole_folder

log = logging.getLogger(__name__)

SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)  # Hz, of the HEAR API
_BLOCK = 2**20


def fetch(
    tasks: Sequence[str],
    out: Path,
    base_url: str = "https://zenodo.org",
    record: str = "5885750",
    sample_rate: int = 16000,
    report: Report = lambda _: None,
) -> list[Path]:
    """Download tasks of HEAR 2021 into `out/TASK`, resampled to 16-bit WAV under the same names.

    A task's folder appears when it is complete; one that is there is left alone. Downloads lie in `out/.downloads`
    until they are unpacked; the same call goes on with one that was interrupted.

    Args:
        tasks: names of `HEAR_TASKS`.
        record: of Zenodo; default: the one that HEAR names.
        sample_rate: Hz, one of `SAMPLE_RATES`.
        report: called after each block of a download and each file unpacked.

    Returns:
        the folders of the tasks.

    Raises:
        HearTasksError: an unknown task or rate, no such archive, a server that does not answer, an archive that is
            damaged or leads out of its folder, a folder in `out` that has the name of a task but not its clips.
    """
    unknown = [name for name in tasks if name not in BY_NAME]
    if unknown or not tasks:
        what = f"task {unknown[0]!r} is unknown" if unknown else "no task is named"
        raise HearTasksError(f"{what}; accepted are {', '.join(BY_NAME)}")
    if sample_rate not in SAMPLE_RATES:
        raise HearTasksError(f"sample rate {sample_rate} Hz: accepted are {', '.join(map(str, SAMPLE_RATES))}")
    wanted, downloads = [BY_NAME[name] for name in dict.fromkeys(tasks)], out / ".downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(downloads / "lock", timeout=0):
            _clear(downloads)
            missing = [task for task in wanted if not _is_there(out / task.name, sample_rate)]
            archives = find_archives(missing, base_url, record) if missing else {}
            for task in wanted:
                path = downloads / f"{task.archive}.partial"
                if task in archives:
                    download(task, archives[task], path, report)
                    with whole_folder(downloads / task.name) as folder:
                        _unpack(task, path, folder, sample_rate, report)
                    (downloads / task.name).rename(out / task.name)
                path.unlink(missing_ok=True)
            (downloads / "lock").unlink(missing_ok=True)
    except Timeout as error:
        raise HearTasksError(f"{out}: another process is fetching tasks into it") from error
    with suppress(OSError):  # downloads of other tasks wait there
        downloads.rmdir()  # heareval takes every folder in `out` for a task
    return [out / task.name for task in wanted]


def _clear(downloads: Path) -> None:
    for leftover in downloads.iterdir():
        if leftover.is_dir():  # of a process that was killed while it unpacked
            shutil.rmtree(leftover)


def _is_there(folder: Path, rate: int) -> bool:
    if not folder.exists():
        return False
    problems: list[str] = []
    find_clips(folder, rate, read_splits(folder, problems), problems)
    if problems:
        raise HearTasksError(f"{folder}: is there, but {'; '.join(problems)}; move it away to fetch it anew")
    log.info("%s: is there already", folder)
    return True


def _unpack(task: HearTask, path: Path, out: Path, rate: int, report: Report) -> None:
    """Clip by clip, so that the disk never holds a whole task at 48 kHz (Beehive: 31 GB)."""
    scratch, workers = out / ".scratch", os.cpu_count() or 1
    scratch.mkdir()
    running: deque[Future[None]] = deque()
    try:
        with (
            path.open("rb") as raw,
            tarfile.open(fileobj=raw, mode="r:gz") as archive,
            ThreadPoolExecutor(workers) as pool,  # libsndfile, soxr and zlib let go of the interpreter
        ):
            for number, member in enumerate(archive):
                place = _place(member, task)
                file = archive.extractfile(member) if place else None  # a link gives what it leads to in the archive
                if place and file:
                    clip = len(place.parts) == 3
                    target = scratch / str(number) if clip else out / place
                    with target.open("wb") as whole:
                        shutil.copyfileobj(file, whole, _BLOCK)
                    if clip:
                        running.append(pool.submit(_resample, target, out / str(rate) / Path(*place.parts[1:]), rate))
                    if len(running) > 4 * workers:
                        running.popleft().result()
                    report(FetchProgress(task.name, "unpack", raw.tell(), path.stat().st_size))
            for job in running:
                job.result()
    except (tarfile.TarError, OSError, EOFError, zlib.error, KeyError, AudioError, soundfile.SoundFileError) as error:
        raise HearTasksError(f"{path}: cannot be unpacked ({error})") from error
    scratch.rmdir()
    problems: list[str] = []
    find_clips(out, rate, read_splits(out, problems), problems)
    if problems:
        raise HearTasksError(f"{path}: does not hold the task {task.name}: {'; '.join(problems)}")


def _place(member: tarfile.TarInfo, task: HearTask) -> PurePosixPath | None:
    """Where in the task's folder a file belongs: NAME or 48000/SPLIT/NAME; None for what is not needed."""
    parts = PurePosixPath(member.name).parts
    if ".." in parts:
        raise tarfile.TarError(f"{member.name!r} leads up")
    if member.isdev():
        raise tarfile.TarError(f"{member.name!r} is a special file")
    inside = parts[parts.index(task.name) + 1 :] if task.name in parts else ()
    wanted = len(inside) == 1 or (len(inside) == 3 and inside[0] == str(ARCHIVE_RATE))
    return PurePosixPath(*inside) if wanted else None


def _resample(source: Path, target: Path, rate: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, read_audio(source, rate), rate, "PCM_16", format="WAV")
    source.unlink()
