"""HEAR's tasks from a Zenodo in miniature on a real socket, with the faults that networks and archives have."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from filelock import FileLock

from selfie_hear.audio import read_audio
from training.evaluate.hear import archives as hear_archives
from training.evaluate.hear import tasks as hear_tasks
from training.evaluate.hear.archives import FetchProgress
from training.evaluate.hear.fetch import fetch
from training.evaluate.hear.tasks import HEAR_TASKS, HearTask, HearTasksError, verify

GUNSHOT, ESC50 = "gunshot_triangulation-v1.0-full", "esc50-v2.0.0-full"
KEY = f"hear2021-{GUNSHOT}-48000.tar.gz"
SPLITS = {"train": {"a.wav": ["dog"], "b.wav": ["cat", "dog"]}, "valid": {"c.wav": []}, "test": {"d.wav": ["cat"]}}


def make_task(folder: Path, rate: int = 48000, splits: dict[str, Any] = SPLITS) -> Path:
    """A task of noises from 0.05 s, each 0.01 s longer than the one before."""
    generator, samples = np.random.default_rng(0), rate // 20
    for split, clips in splits.items():
        (folder / str(rate) / split).mkdir(parents=True)
        (folder / f"{split}.json").write_text(json.dumps(clips))
        for clip in clips:
            soundfile.write(folder / str(rate) / split / clip, generator.normal(0, 0.2, samples), rate, "PCM_16")
            samples += rate // 100
    (folder / "task_metadata.json").write_text(json.dumps({"task_name": "t", "splits": [*splits]}))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,cat\n1,dog\n")
    return folder


def tar_of(folder: Path, at: str = "", *extra: tarfile.TarInfo) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(folder, at or f"tasks/{folder.name}")
        for member in extra:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, to, 5 if kind == tarfile.REGTYPE else 0
    return info


class Zenodo(ThreadingHTTPServer):
    """A record's files; `faults` are taken one by one by the requests for a file, None being none."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.record: dict[str, Any] = {}  # changes to what the record says of each file
        self.faults: list[int | str | None] = []  # bytes after which to hang up, a status, "no range", "wrong range"
        self.asked: list[tuple[str, str | None, int]] = []  # path, Range header, bytes given

    @property
    def downloads(self) -> list[tuple[str | None, int]]:
        return [(part, given) for path, part, given in self.asked if path.endswith("/content")]


class Handler(BaseHTTPRequestHandler):
    server: Zenodo

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/api/records/5885750":  # as that of all versions, which leads to the newest
            return self.answer(302, b"", Location="/api/records/6332517")
        if self.path == "/api/records/6332517":
            return self.answer(200, json.dumps({"files": [*map(self.about, self.server.files)]}).encode())
        body = self.server.files.get(self.path.removeprefix("/files/").removesuffix("/content"))
        fault = self.server.faults.pop(0) if self.server.faults and body else None
        if body is None or fault in ("404", "416", "500", "503", "429"):
            return self.answer(int(fault or 404), b"no")
        part = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if not part or fault == "no range":
            return self.answer(200, body, fault if isinstance(fault, int) else None)
        start = 1 if fault == "wrong range" else int(part[1])
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return self.answer(206, body[start:], fault if isinstance(fault, int) else None, **{"Content-Range": span})

    def about(self, key: str) -> dict[str, Any]:
        body, url = self.server.files[key], f"{self.server.url}/files/{key}/content"
        md5 = f"md5:{hashlib.md5(body).hexdigest()}"
        return {"key": key, "size": len(body), "checksum": md5, "links": {"self": url}, **self.server.record}

    def answer(self, status: int, body: bytes, hang_up: int | None = None, **headers: str) -> None:
        self.server.asked.append((self.path, self.headers["Range"], len(body[:hang_up])))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:hang_up])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear_archives, "_WAITS", (0.0, 0.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_task(tmp_path_factory.mktemp("source") / GUNSHOT)


@pytest.fixture
def zenodo(source: Path) -> Iterator[Zenodo]:
    """With an archive of `source`."""
    server = Zenodo()
    server.files[KEY] = tar_of(source)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_whole(out: Path, source: Path, rate: int = 16000) -> None:
    """The task and nothing else is in `out`, as `source` says, clip by clip."""
    clips = [f"{split}/{clip}" for split, of in SPLITS.items() for clip in of]
    texts = ["task_metadata.json", "labelvocabulary.csv", *(f"{split}.json" for split in SPLITS)]
    folders = ["", f"/{rate}", *(f"/{rate}/{split}" for split in SPLITS)]
    there = [*texts, *(f"{rate}/{clip}" for clip in clips)]
    assert names_in(out) == sorted([GUNSHOT + name for name in folders] + [f"{GUNSHOT}/{name}" for name in there])
    assert all((out / GUNSHOT / text).read_bytes() == (source / text).read_bytes() for text in texts)
    for clip in clips:
        path = out / GUNSHOT / str(rate) / clip
        about = soundfile.info(path)
        assert (about.samplerate, about.channels, about.format, about.subtype) == (rate, 1, "WAV", "PCM_16")
        wanted = read_audio(source / "48000" / clip, rate)
        np.testing.assert_allclose(read_audio(path, rate), wanted, rtol=0, atol=1 / 2**15)


def test_the_table() -> None:
    assert len({task.name for task in HEAR_TASKS}) == len({task.title for task in HEAR_TASKS}) == 19
    assert sum(task.clips for task in HEAR_TASKS) == 266608
    assert {task.metric for task in HEAR_TASKS} == {"Accuracy", "AUCROC", "mAP", "Onset FMS", "Pitch Acc."}
    esc50 = next(task for task in HEAR_TASKS if task.name == ESC50)
    assert (esc50.title, esc50.clips, esc50.metric) == ("ESC-50", 2000, "Accuracy")
    assert esc50.archive == "hear2021-esc50-v2.0.0-full-48000.tar.gz"
    with pytest.raises(FrozenInstanceError):
        esc50.clips = 1  # type: ignore[misc]


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


def test_a_dropped_connection_is_resumed_where_it_broke(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    zenodo.faults = [1000, 0, 0, 0, 500, 0, 0, 0, 1]  # four in vain are borne, and again after progress
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)
    starts = [None, *["bytes=1000-"] * 4, *["bytes=1500-"] * 4, "bytes=1501-"]
    assert [part for part, _ in zenodo.downloads] == starts
    assert sum(given for _, given in zenodo.downloads) == len(zenodo.files[KEY])  # no byte came twice


def test_a_later_call_goes_on_where_one_gave_up(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    zenodo.faults = [700, 0, 0, 0, 0]
    with pytest.raises(HearTasksError, match=r"5 tries came to nothing \(the connection closed after 700 of \d+ bytes"):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert (tmp_path / ".downloads" / f"{KEY}.partial").read_bytes() == zenodo.files[KEY][:700]
    assert not (tmp_path / GUNSHOT).exists()
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)
    assert zenodo.downloads[-1] == ("bytes=700-", len(zenodo.files[KEY]) - 700)


@pytest.mark.parametrize("fault", ["no range", "416", "wrong range"])
def test_a_server_that_cannot_resume(zenodo: Zenodo, source: Path, tmp_path: Path, fault: str) -> None:
    zenodo.faults = [1000, fault]
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)
    anew = [] if fault == "no range" else [None]
    assert [part for part, _ in zenodo.downloads] == [None, "bytes=1000-", *anew]


@pytest.mark.parametrize("fault", ["500", "503", "429"])
def test_a_server_in_trouble_is_asked_again(zenodo: Zenodo, source: Path, tmp_path: Path, fault: str) -> None:
    zenodo.faults = [fault, fault, fault, fault]
    fetch([GUNSHOT], tmp_path / "out", zenodo.url)
    assert_whole(tmp_path / "out", source)
    zenodo.faults = [fault] * 5
    with pytest.raises(HearTasksError, match=rf"{KEY}/content: 5 tries came to nothing \(HTTP {fault}"):
        fetch([GUNSHOT], tmp_path / "two", zenodo.url)
    assert zenodo.faults == []


@pytest.mark.parametrize("more", [-1, 1])
def test_a_size_that_is_not_the_record_s(zenodo: Zenodo, source: Path, tmp_path: Path, more: int) -> None:
    size = len(zenodo.files[KEY])
    for faults in ([], [1000]):  # before a byte came, and on resuming
        zenodo.faults, zenodo.record = [*faults], {"size": size + more}
        with pytest.raises(HearTasksError, match=f"has {size} bytes, but the record says {size + more}"):
            fetch([GUNSHOT], tmp_path, zenodo.url)
        assert names_in(tmp_path / ".downloads") in ([], ["lock"])
    zenodo.record = {}
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)


def test_a_longer_file_of_before_is_replaced(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    (tmp_path / ".downloads").mkdir()
    (tmp_path / ".downloads" / f"{KEY}.partial").write_bytes(zenodo.files[KEY] + b"more")
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)
    assert [part for part, _ in zenodo.downloads] == [None]


def test_a_wrong_checksum(zenodo: Zenodo, source: Path, tmp_path: Path) -> None:
    zenodo.record = {"checksum": f"md5:{'0' * 32}"}
    right = hashlib.md5(zenodo.files[KEY]).hexdigest()
    with pytest.raises(HearTasksError, match=f"{right}, but the record says {'0' * 32}; it is deleted"):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert names_in(tmp_path / ".downloads") in ([], ["lock"])
    zenodo.record = {}
    fetch([GUNSHOT], tmp_path, zenodo.url)
    assert_whole(tmp_path, source)


def test_no_such_record_is_asked_for_once(zenodo: Zenodo, tmp_path: Path) -> None:
    with pytest.raises(HearTasksError, match="/api/records/1: HTTP 404"):
        fetch([GUNSHOT], tmp_path, zenodo.url, record="1")
    assert len(zenodo.asked) == 1


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"checksum": "sha1:0"}, "is no record with files, their sizes and MD5"),
        ({"links": {}}, "is no record with files, their sizes and MD5 .*'self'"),
        ({"links": {"self": "file:///etc/passwd"}}, "file:///etc/passwd: is no address that begins with https://"),
        ({"key": "hear.zip"}, rf"5885750: has no {re.escape(KEY)}; it has hear.zip"),
    ],
)
def test_a_record_of_another_kind(zenodo: Zenodo, tmp_path: Path, record: dict[str, Any], said: str) -> None:
    zenodo.record = record
    with pytest.raises(HearTasksError, match=said):
        fetch([GUNSHOT], tmp_path, zenodo.url)
    assert zenodo.downloads == []


def test_a_task_that_the_record_lacks_is_missed_before_any_download(zenodo: Zenodo, tmp_path: Path) -> None:
    with pytest.raises(HearTasksError, match=rf"has no hear2021-{ESC50}-48000.tar.gz; it has {re.escape(KEY)}"):
        fetch([GUNSHOT, ESC50], tmp_path, zenodo.url)
    assert zenodo.downloads == []


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


def test_a_server_that_is_down(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HearTasksError, match=r"/api/records/5885750: 5 tries came to nothing \(.*refused"):
            fetch([GUNSHOT], tmp_path, url)


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


def test_verify_what_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hear_tasks.BY_NAME, GUNSHOT, HearTask("Gunshot", GUNSHOT, 4, "Accuracy"))
    make_task(tmp_path / GUNSHOT, 16000)
    events = {"train": {"a.wav": [{"label": "dog", "start": 0.0, "end": 9.0}]}, "test": {"b.wav": []}}
    make_task(tmp_path / "events", 16000, events)
    make_task(tmp_path / "numbers", 16000, {"fold00": {"a.wav": [21]}, "fold01": {"b.wav": ["22"]}})
    (tmp_path / "numbers/labelvocabulary.csv").write_text("idx,label\n0,21\n1,22\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "read.me").touch()
    reports = verify(tmp_path, 16000)
    assert [(one.name, one.clips, one.problems) for one in reports] == [
        ("events", 2, []),
        (GUNSHOT, 4, []),
        ("numbers", 2, []),
    ]
    assert reports[1].hours == pytest.approx((0.05 + 0.06 + 0.07 + 0.08) / 3600)


def rewrite(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def at_8_khz(folder: Path) -> None:
    soundfile.write(folder / "16000/train/b.wav", np.zeros(800), 8000)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove("task_metadata.json"), "task_metadata.json is missing"),
        (rewrite("task_metadata.json", "{"), "task_metadata.json cannot be read (JSONDecodeError"),
        (rewrite("task_metadata.json", "{}"), "task_metadata.json cannot be read (KeyError('splits'))"),
        (remove("valid.json"), "valid.json is missing"),
        (rewrite("valid.json", '["c.wav"]'), "valid.json cannot be read (AttributeError"),
        (rewrite("valid.json", '{"c.wav": null}'), "valid.json cannot be read (TypeError"),
        (remove("labelvocabulary.csv"), "labelvocabulary.csv is missing"),
        (rewrite("labelvocabulary.csv", ""), "3 of 4 clips have a label that is not in labelvocabulary.csv, such as a"),
        (rewrite("labelvocabulary.csv", "idx,label\n0,dog\n"), "2 of 4 clips have a label that is not in"),
        (rewrite("test.json", '{"d.wav": ["cow"]}'), "1 of 4 clips have a label .*, such as d.wav ('cow')"),
        (remove("16000/train/b.wav"), "1 of 2 clips are not in 16000/train, such as b.wav"),
        (lambda folder: shutil.rmtree(folder / "16000/valid"), "1 of 1 clips are not in 16000/valid, such as c.wav"),
        (at_8_khz, "1 of 4 clips are not at 16000 Hz, such as train/b.wav (8000 Hz)"),
        (rewrite("16000/train/b.wav", "RIFF"), "1 of 4 clips cannot be read, such as train/b.wav ("),
        (rewrite("test.json", '{"a.wav": ["cat"]}'), "1 of 4 clips are in two splits, such as a.wav (train, test)"),
        (rewrite("test.json", "{}"), "its splits name 3 clips, those of HEAR 2021 4"),
    ],
)
def test_verify_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], Any], said: str
) -> None:
    monkeypatch.setitem(hear_tasks.BY_NAME, GUNSHOT, HearTask("Gunshot", GUNSHOT, 4, "Accuracy"))
    harm(make_task(tmp_path / GUNSHOT, 16000))
    make_task(tmp_path / "well", 16000)
    bad, good = verify(tmp_path, 16000)
    pattern = ".*".join(map(re.escape, said.split(".*")))
    assert [problem for problem in bad.problems if re.match(pattern, problem)], bad.problems
    assert good.problems == []


def test_verify_needs_a_task(tmp_path: Path) -> None:
    with pytest.raises(HearTasksError, match="gone: no such folder"):
        verify(tmp_path / "gone", 16000)
    with pytest.raises(HearTasksError, match="holds no task, which is a folder with task_metadata.json"):
        verify(tmp_path, 16000)
    (tmp_path / GUNSHOT).mkdir()
    assert verify(tmp_path, 16000)[0].problems[0] == "task_metadata.json is missing"


def test_what_was_fetched_verifies(zenodo: Zenodo, tmp_path: Path) -> None:
    fetch([GUNSHOT], tmp_path, zenodo.url)
    (report,) = verify(tmp_path, 16000)
    assert report.problems == ["its splits name 4 clips, those of HEAR 2021 88"]  # ours is a miniature
    assert report.hours == pytest.approx(0.26 / 3600)
