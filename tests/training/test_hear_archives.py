"""Archives of HEAR's tasks: found in a record, downloaded and resumed, with the faults that networks have."""

from __future__ import annotations

import hashlib
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.training.zenodo import ESC50, GUNSHOT, KEY, Zenodo, assert_whole, names_in
from training.evaluate.hear import archives as hear_archives
from training.evaluate.hear.fetch import fetch
from training.evaluate.hear.tasks import HearTasksError


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hear_archives, "_WAITS", (0.0, 0.0, 0.0, 0.0))


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


def test_a_server_that_is_down(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HearTasksError, match=r"/api/records/5885750: 5 tries came to nothing \(.*refused"):
            fetch([GUNSHOT], tmp_path, url)
