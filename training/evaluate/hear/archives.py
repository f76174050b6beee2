"""Archives of HEAR 2021 from a Zenodo record, by downloads that go on where they were interrupted."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import TypeVar, cast
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from training.evaluate.hear.tasks import HearTask, HearTasksError

log = logging.getLogger(__name__)

_WAITS: tuple[float, ...] = (
    1.0,
    4.0,
    16.0,
    60.0,
)  # s, between tries without progress; Zenodo counts requests by the minute
_TIMEOUT = 60.0  # s without a byte
_BLOCK = 2**20
_T = TypeVar("_T")


class _DroppedError(Exception):
    """The server did not answer, or not to the end: worth another try."""


class _RangeError(_DroppedError):
    """The server has no such part of the file."""


@dataclass(frozen=True)
class FetchProgress:
    """How far a task is; both stages are measured in bytes of its archive."""

    task: str
    stage: str  # "download" or "unpack"
    done: int
    total: int


@dataclass(frozen=True)
class Archive:
    size: int
    md5: str
    url: str


Report = Callable[[FetchProgress], None]


def find_archives(tasks: Sequence[HearTask], base_url: str, record: str) -> dict[HearTask, Archive]:
    url = f"{base_url.rstrip('/')}/api/records/{quote(record, safe='')}"

    def ask() -> bytes:
        with _open(url) as response:
            return _receive(response.read)

    text = _insist(url, ask, lambda: 0)
    try:
        there = {
            file["key"]: Archive(int(file["size"]), file["checksum"].split("md5:")[1], file["links"]["self"])
            for file in json.loads(text)["files"]
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise HearTasksError(f"{url}: is no record with files, their sizes and MD5 ({error!r})") from error
    if lost := [task.archive for task in tasks if task.archive not in there]:
        raise HearTasksError(f"{url}: has no {', no '.join(lost)}; it has {', '.join(sorted(there)) or 'no files'}")
    return {task: there[task.archive] for task in tasks}


def download(task: HearTask, archive: Archive, path: Path, report: Report) -> None:
    def reached() -> int:
        return path.stat().st_size if path.exists() else 0

    def refuse(size: int) -> HearTasksError:
        path.unlink(missing_ok=True)  # it may be of another version
        return HearTasksError(f"{archive.url}: has {size} bytes, but the record says {archive.size}")

    def take() -> None:
        at = reached()
        if at == archive.size:
            return
        if at > archive.size:  # of another version
            path.unlink()
            at = 0
        try:
            response = _open(archive.url, at)
        except _RangeError:
            path.unlink()
            raise
        with response:
            if response.status == 206:
                span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
                if not span or int(span[1]) != at:
                    path.unlink(missing_ok=True)
                    raise _DroppedError(f"sent another part than the one from byte {at}")
                size = int(span[2])
            else:  # all of it, whatever was asked for
                at, size = 0, int(response.headers.get("Content-Length", archive.size))
            if size != archive.size:
                raise refuse(size)
            with path.open("ab" if at else "wb") as file:
                while at <= size and (block := _receive(partial(response.read1, _BLOCK))):
                    file.write(block)
                    at += len(block)
                    report(FetchProgress(task.name, "download", at, size))
        if at > size:
            raise refuse(at)
        if at < size:
            raise _DroppedError(f"the connection closed after {at} of {size} bytes")

    _insist(archive.url, take, reached)
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != archive.md5:
        path.unlink()
        what = f"what came has the MD5 {digest.hexdigest()}, but the record says {archive.md5}"
        raise HearTasksError(f"{archive.url}: {what}; it is deleted, and the same call fetches it anew")


def _open(url: str, start: int = 0) -> HTTPResponse:
    if not url.startswith(("https://", "http://")):  # urllib would read file: as well
        raise HearTasksError(f"{url}: is no address that begins with https:// or http://")
    part = {"Range": f"bytes={start}-"} if start else {}
    try:
        return cast(
            HTTPResponse, urlopen(Request(url, headers={"User-Agent": "selfie_hear", **part}), timeout=_TIMEOUT)
        )
    except HTTPError as error:
        error.close()
        if error.code == 416:
            raise _RangeError("there is no such part of it") from error
        if error.code == 429 or error.code >= 500:
            raise _DroppedError(f"HTTP {error.code} {error.reason}") from error
        raise HearTasksError(f"{url}: HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _DroppedError(str(error)) from error


def _receive(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (OSError, HTTPException) as error:
        raise _DroppedError(str(error)) from error


def _insist(url: str, ask: Callable[[], _T], reached: Callable[[], int]) -> _T:
    """Ask again after a while; patience begins anew whenever more bytes have been `reached` than ever."""
    waits, furthest = _WAITS, reached()
    while True:
        try:
            return ask()
        except _DroppedError as error:
            if reached() > furthest:
                waits, furthest = _WAITS, reached()
            if not waits:
                tries = f"{1 + len(_WAITS)} tries came to nothing ({error})"
                raise HearTasksError(f"{url}: {tries}; the same call later goes on where this one stopped") from error
            log.warning("%s: %s; asking again in %g s", url, error, waits[0])
            time.sleep(waits[0])
            waits = waits[1:]
