"""Tasks of HEAR fetched and unpacked, once and whole, from archives with every fault."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock

from tests.training.zenodo import ESC50, GUNSHOT, KEY, Zenodo, assert_whole, member, names_in, tar_of
from training.evaluate.hear.archives import FetchProgress
from training.evaluate.hear.fetch import fetch
from training.evaluate.hear.tasks import HearTasksError


def test_fetch(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    seen: list[FetchProgress] = []
    assert fetch([GUNSHOT, GUNSHOT], tmp_path / "out", zenodo.url, report=seen.append) == [tmp_path / "out" / GUNSHOT]
    assert_whole(tmp_path / "out", source)
    size = len(zenodo.files[KEY])
    assert zenodo.downloads == [(None, size)]
    stages = {stage: [one.done for one in seen if one.stage == stage] for stage in ("download", "unpack")}
    assert len(stages["unpack"]) == 9 and all(sorted(done) == done for done in stages.values())
    assert stages["download"][-1] == stages["unpack"][-1] == size
    assert {(one.task, one.total) for one in seen} == {(GUNSHOT, size)}


def test_two_tasks_and_a_second_call(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    fetch([GUNSHOT], tmp_path, zenodo.url)
    clip = tmp_path / GUNSHOT / "16000/train/a.wav"
    before = clip.stat().st_mtime_ns
    shutil.copytree(source, tmp_path / "copy" / ESC50)
    zenodo.files[f"hear2021-{ESC50}-48000.tar.gz"] = tar_of(tmp_path / "copy" / ESC50)
    shutil.rmtree(tmp_path / "copy")
    fetch([GUNSHOT, ESC50], tmp_path, zenodo.url)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ESC50, GUNSHOT]
    assert len(zenodo.downloads) == 2 and clip.stat().st_mtime_ns == before
    asked = len(zenodo.asked)
    fetch([ESC50, GUNSHOT], tmp_path, zenodo.url)
    assert len(zenodo.asked) == asked


@pytest.mark.parametrize("at", [f"hear-2021.0.6/tasks/{GUNSHOT}", f"./tasks/{GUNSHOT}", GUNSHOT])
def test_the_task_is_found_wherever_it_lies_in_the_archive(
    zenodo: Zenodo, source: Path, tmp_path: Path, at: str
) -> None:
    zenodo.files[KEY] = tar_of(source, at, member("README.md"), member(f"tasks/{ESC50}/task_metadata.json"))
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)


def test_at_the_rate_of_the_archive_clips_are_kept_bit_for_bit(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    fetch([GUNSHOT], tmp_path, zenodo.url, sample_rate=48000)
    assert_whole(tmp_path, source, 48000)
    clip = Path("48000/train/a.wav")
    assert (tmp_path / GUNSHOT / clip).read_bytes() == (source / clip).read_bytes()


@pytest.mark.parametrize(
    ("tasks", "rate", "said"),
    [
        (["esc-50"], 16000, f"task 'esc-50' is unknown; accepted are .*{ESC50}"),
        ([], 16000, f"no task is named; accepted are .*{ESC50}"),
        ([ESC50], 8000, "sample rate 8000 Hz: accepted are 16000, 22050"),
    ],
)
def test_what_is_not_offered(tmp_path: Path, tasks: list[str], rate: int, said: str) -> None:
    with pytest.raises(HearTasksError, match=said):
        fetch(tasks, tmp_path, sample_rate=rate)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("evil", "said"),
    [
        (member("../../evil.json"), "leads up"),
        (member(f"tasks/{GUNSHOT}/48000/train/../../../../../../evil.wav"), "leads up"),
        (member(f"tasks/{GUNSHOT}/48000/../../../evil.json"), "leads up"),
        (member(f"tasks/{GUNSHOT}/48000/train/e.wav", tarfile.SYMTYPE, "/etc/passwd"), "etc/passwd' not found"),
        (member(f"tasks/{GUNSHOT}/evil.json", tarfile.SYMTYPE, "../../../evil"), "evil' not found"),
        (member(f"tasks/{GUNSHOT}/evil.json", tarfile.LNKTYPE, "../evil"), "evil' not found"),
        (member(f"tasks/{GUNSHOT}/evil.json", tarfile.SYMTYPE, "gone"), "gone"),
        (member(f"tasks/{GUNSHOT}/evil.json", tarfile.FIFOTYPE), "special file"),
        (member(f"tasks/{GUNSHOT}/48000/train/e.wav"), "cannot be read|Format not recognised"),
    ],
)
def test_archives_that_lead_out_or_hold_no_audio(
    zenodo: Zenodo, source: Path, tmp_path: Path, evil: tarfile.TarInfo, said: str
) -> None:
    zenodo.files[KEY] = tar_of(source, "", evil)
    with pytest.raises(HearTasksError, match=rf"{KEY}.partial: cannot be unpacked \(.*({said})"):
        fetch([GUNSHOT], tmp_path / "a" / "b", zenodo.url)
    assert not [name for name in names_in(tmp_path) if "evil" in name or GUNSHOT in Path(name).parts]


def test_an_absolute_name_and_a_link_inside_stay_inside(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    link = member(f"/tasks/{GUNSHOT}/48000/train/b.wav", tarfile.LNKTYPE, f"tasks/{GUNSHOT}/48000/train/b.wav")
    zenodo.files[KEY] = tar_of(source, "", link)
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)


def test_truncated_archives(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    whole = zenodo.files[KEY]
    for length in (0, 1, 300, len(whole) // 2, len(whole) - 100):
        zenodo.files[KEY] = whole[:length] or b"\0"
        with pytest.raises(HearTasksError, match="cannot be unpacked|does not hold the task"):
            fetch([GUNSHOT], tmp_path / str(length), zenodo.url)
        left = names_in(tmp_path / str(length))
        assert {*left} - {".downloads/lock"} == {".downloads", f".downloads/{KEY}.partial"}


def test_an_archive_of_another_task_or_without_a_clip(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    zenodo.files[KEY] = tar_of(source, f"tasks/{ESC50}")
    with pytest.raises(HearTasksError, match=f"does not hold the task {GUNSHOT}: task_metadata.json is missing"):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    copy = shutil.copytree(source, tmp_path / "copy" / GUNSHOT)
    (copy / "48000/train/b.wav").unlink()
    zenodo.files[KEY] = tar_of(copy)
    with pytest.raises(HearTasksError, match="1 of 2 clips are not in 16000/train, such as b.wav"):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert not (tmp_path / GUNSHOT).exists()


def test_killed_while_unpacking_it_unpacks_anew_without_a_download(
    zenodo: Zenodo, source: Path, tmp_path: Path, root: Path
) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from training.evaluate.hear.fetch import fetch
seen = []
def report(progress):
    seen.append(progress.stage)
    if seen.count("unpack") == 6:
        os.kill(os.getpid(), signal.SIGKILL)
fetch([{GUNSHOT!r}], Path({str(tmp_path)!r}), {zenodo.url!r}, report=report)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == -signal.SIGKILL
    assert names_in(tmp_path)[0] == ".downloads" and not (tmp_path / GUNSHOT).exists()
    assert len(list((tmp_path / ".downloads").iterdir())) == 3  # the lock, the archive and what was half unpacked
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)
    assert len(zenodo.downloads) == 1


def test_interrupted_while_unpacking_leaves_the_archive_only(zenodo: Zenodo, tmp_path: Path) -> None:
    def report(progress: FetchProgress) -> None:
        if progress.stage == "unpack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch([GUNSHOT], tmp_path, zenodo.url, report=report)
    assert set(names_in(tmp_path)) - {".downloads/lock"} == {".downloads", f".downloads/{KEY}.partial"}


def test_one_process_at_a_time(zenodo: Zenodo, tmp_path: Path) -> None:
    (tmp_path / ".downloads").mkdir()
    with FileLock(tmp_path / ".downloads" / "lock"), pytest.raises(HearTasksError, match="another process is fetching"):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert zenodo.asked == []


def test_a_folder_in_the_way_is_refused_and_kept(zenodo: Zenodo, tmp_path: Path) -> None:
    fetch([GUNSHOT], tmp_path, zenodo.url)
    with pytest.raises(HearTasksError, match=r"2 of 2 clips are not in 32000/train.*move it away"):
        fetch([GUNSHOT], tmp_path, zenodo.url, sample_rate=32000)
    (tmp_path / GUNSHOT / "16000/test/d.wav").unlink()
    with pytest.raises(
        HearTasksError, match=rf"{GUNSHOT}: is there, but 1 of 1 clips are not in 16000/test, such as d"
    ):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert (tmp_path / GUNSHOT / "16000/train/a.wav").exists() and len(zenodo.downloads) == 1
