"""Freed memory is kept, and used again."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.memory import keep_freed_memory

THRESHOLD, TRIM, PAD = -3, -1, -2  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD of mallopt(3)
FAULTS = """
import resource, torch
from training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.empty(2**24).fill_(1.0)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_large_tensors_come_from_pages_that_the_process_has_already(root: Path) -> None:
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=100)
    before, taken, _, after = done.stdout.split()
    assert taken == "True"
    if int(before) < 200:
        pytest.skip("this system does not count page faults")
    assert int(after) < int(before) / 10


class Library:
    """A C library whose mallopt takes thresholds up to a limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.settings: dict[int, int] = {}

    def mallopt(self, name: int, value: int) -> int:
        if name == THRESHOLD and value > self.most:
            return 0
        self.settings[name] = value
        return 1


@pytest.mark.parametrize(("most", "threshold"), [(2**31 - 1, 2**30), (2**25, 2**25)])
def test_the_threshold_is_the_highest_that_the_library_takes(
    monkeypatch: pytest.MonkeyPatch, most: int, threshold: int
) -> None:
    library = Library(most)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is True
    assert library.settings == {THRESHOLD: threshold, TRIM: 2**31 - 1, PAD: 2**29}


def test_a_library_that_takes_no_threshold_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any one of the other settings alone would fix its threshold at 128 KiB: slower than before."""
    library = Library(0)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is False
    assert library.settings == {}


@pytest.mark.parametrize("library", [("", ""), ("musl", "1.2.4"), ("libc", "")])
def test_another_library_is_not_touched(monkeypatch: pytest.MonkeyPatch, library: tuple[str, str]) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())  # which has no mallopt
    assert keep_freed_memory() is False
