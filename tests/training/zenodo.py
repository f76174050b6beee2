"""A Zenodo in miniature on a real socket, with a task of HEAR and the faults that networks have."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from selfie_hear.audio import read_audio

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
