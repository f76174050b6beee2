"""Faults while packing: it is killed, a worker is, the disk is full; nothing is lost."""

from __future__ import annotations

import multiprocessing
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.disks import full_disk
from tests.training.packs import RATE, clips_of, content_of, names_in, of_clips, ramp, ramps
from tests.training.processes import killed_with_workers
from training.corpus.pack import Progress, pack
from training.corpus.shards import shard_name
from training.corpus.workers import WorkerError

PACK_AND_DIE = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from training.corpus.pack import pack

def die(now):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__mp_main__":  # in a worker: so slow that they cannot be through before the first is reported
    os.fsync = lambda _: time.sleep(0.3)
if __name__ == "__main__":
    pack([Path(sys.argv[1])], Path(sys.argv[2]), 8000, workers=2, report=die, shard_bytes=int(sys.argv[3]))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_it_goes_on_where_it_stopped_and_its_workers_end(tmp_path: Path) -> None:
    """A real SIGKILL, when the first shard is done."""
    audio, out, folder = ramps(tmp_path / "audio", 240), tmp_path / "out", tmp_path / ".out.packing"
    (tmp_path / "die.py").write_text(PACK_AND_DIE)
    killed_with_workers(tmp_path / "die.py", audio, out, str(of_clips(8)))
    assert not out.exists()
    done = [int(path.stem.removeprefix("index-")) for path in folder.glob("index-*.parquet")]
    assert 1 <= len(done) < 30

    def state(path: Path) -> tuple[int, int]:
        return path.stat().st_ino, path.stat().st_mtime_ns

    before = {number: state(folder / shard_name(number)) for number in done}
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(8))
    assert {number: state(out / shard_name(number)) for number in done} == before
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=of_clips(8))
    assert content_of(out) == content_of(tmp_path / "clean")
    assert names_in(tmp_path) == ["audio", "clean", "die.py", "out"]


def test_a_killed_worker_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    audio, out = ramps(tmp_path / "audio", 120), tmp_path / "out"
    before = set(multiprocessing.active_children())

    def kill(_: Progress) -> None:
        for child in set(multiprocessing.active_children()) - before:
            with suppress(ProcessLookupError):
                child.kill()

    with pytest.raises(WorkerError, match="a process was killed at its work, .*; the same call goes on from there"):
        pack([audio], out, RATE, workers=2, shard_bytes=of_clips(4), report=kill)
    assert not out.exists()
    assert pack([audio], out, RATE, workers=1, shard_bytes=of_clips(4)).clips == len(clips_of(out)) == 120


def test_with_the_disk_full_it_stops_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """The third of four shards does not fit."""
    audio = ramps(tmp_path / "audio", 4, 10000)
    ramp(audio / "002.wav", 0, 30000)
    out, folder = tmp_path / "out", tmp_path / ".out.packing"
    with full_disk(40000), pytest.raises(OSError, match="File too large"):
        pack([audio], out, RATE, workers=1, shard_bytes=1)
    assert not out.exists()
    parts = [f"audio-0000{n}.i16" for n in (0, 1)] + [f"index-0000{n}.parquet" for n in (0, 1)]
    assert names_in(folder) == [*parts, "lock", "plan.sha256"]
    times = [(folder / shard_name(n)).stat().st_mtime_ns for n in (0, 1)]
    pack([audio], out, RATE, workers=1, shard_bytes=1)
    assert [(out / shard_name(n)).stat().st_mtime_ns for n in (0, 1)] == times
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=1)
    assert content_of(out) == content_of(tmp_path / "clean")


def test_with_the_disk_full_no_clip_of_a_tar_is_lost(tmp_path: Path) -> None:
    """There was no room for the temporary file, which is no reason to reject the clip."""
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for path in sorted(ramps(tmp_path / "audio", 3, 10000).iterdir()):
            tar.add(path, path.name)
    with full_disk(15000), pytest.raises(OSError, match="File too large"):
        pack([tmp_path / "s.tar"], tmp_path / "out", RATE, workers=1)
    done = pack([tmp_path / "s.tar"], tmp_path / "out", RATE, workers=1)
    assert (done.clips, done.rejected) == (3, 0)


def test_an_error_in_a_worker_is_the_same_error_here(tmp_path: Path) -> None:
    """A folder in the place of a shard, which a worker cannot replace."""
    audio, out = ramps(tmp_path / "audio", 12), tmp_path / "out"
    (tmp_path / ".out.packing" / shard_name(1) / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=shard_name(1)):
        pack([audio], out, RATE, workers=2, shard_bytes=of_clips(2))
    assert not out.exists()
    (tmp_path / ".out.packing" / shard_name(1) / "in the way").rmdir()
    (tmp_path / ".out.packing" / shard_name(1)).rmdir()
    assert pack([audio], out, RATE, workers=2, shard_bytes=of_clips(2)).clips == len(clips_of(out)) == 12
