"""Decoding in other processes, some of which are killed."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import AudioError, read_audio
from selfie_hear.corpus.decoding import MESSAGES, Decoders
from tests.conftest import noise


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twenty sounds at two rates, one that is not whole, one that is missing, one that comes in many blocks."""
    folder = tmp_path_factory.mktemp("in")
    for number in range(20):
        rate = 16000 if number % 2 else 22050
        soundfile.write(folder / f"{number:02d}.wav", noise(2000 + 300 * number, number).numpy(), rate)
    whole = (folder / "07.wav").read_bytes()
    (folder / "07.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "11.wav").unlink()
    with soundfile.SoundFile(folder / "04.wav", "w", 16000, 8) as file:
        for _ in range(5):
            file.write(np.tile(noise(2**17).numpy()[:, None], 8))
    return [str(folder / f"{number:02d}.wav") for number in range(20)]


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with Decoders(2, 16000) as decoders:
        yield decoders


def workers() -> set[int]:
    """Processes that this one has connections to, by the kernel: children of its forkserver."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                line = (entry / "cmdline").read_bytes()
                grandparent = (Path("/proc") / words[1] / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except (OSError, IndexError):
                continue
            if grandparent == str(os.getpid()) and b"forkserver" in line and words[0] != "Z":
                found.add(int(entry.name))
    return found


def check(decoders: Decoders, files: list[str]) -> None:
    for path, recording in zip(files, decoders.each(files), strict=True):
        assert recording.path == path
        if path.endswith(("07.wav", "11.wav")):
            with pytest.raises(AudioError, match="truncated|no such file"):
                list(recording.blocks())
            assert recording.digest == ""
            continue
        np.testing.assert_array_equal(np.concatenate(list(recording.blocks())), read_audio(path, 16000))
        assert recording.digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_as_in_this_process_and_in_order(decoders: Decoders, files: list[str]) -> None:
    check(decoders, files)
    with Decoders(0, 16000) as alone:
        check(alone, files)


def test_what_is_not_heard_is_passed_over(decoders: Decoders, files: list[str]) -> None:
    heard = [next(recording.blocks(), None) for recording in decoders.each([files[4], files[4], files[5]])]
    assert heard[0] is not None and heard[2] is not None
    np.testing.assert_array_equal(heard[2], read_audio(files[5], 16000))


def test_processes_that_are_killed_are_replaced(decoders: Decoders, files: list[str]) -> None:
    """At the start and in the midst of the file of five blocks; nothing is lost and nothing comes twice.

    That file is the last, and so not yet asked for at the start: killed twice at it would be once too often.
    """
    before, order = workers(), [*files[:4], *files[5:], files[4]]
    assert len(before) == 2
    for number, (path, recording) in enumerate(zip(order, decoders.each(order), strict=True)):
        if number == 1:
            for process in before:
                os.kill(process, signal.SIGKILL)
        blocks = []
        try:
            for block in recording.blocks():
                blocks.append(block)
                if path == files[4] and len(blocks) == 2:
                    for process in workers():
                        os.kill(process, signal.SIGKILL)
            np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path, 16000))
        except AudioError:
            assert path.endswith(("07.wav", "11.wav"))
    assert before.isdisjoint(workers())
    check(decoders, files)


def test_a_file_that_kills_its_process_is_an_error(tmp_path: Path, files: list[str]) -> None:
    """A file of many blocks keeps its process busy for as long as nobody listens."""
    long, count = tmp_path / "long.wav", MESSAGES + 8
    with soundfile.SoundFile(long, "w", 16000, 8) as file:
        for number in range(count):
            file.write(np.full((2**17, 8), number / 32, np.float32))
    others = workers()
    with Decoders(1, 16000) as one:
        recordings = one.each([str(long), files[5]])
        blocks = next(recordings).blocks()
        heard = [next(blocks)]
        (mine,) = workers() - others
        os.kill(mine, signal.SIGKILL)
        heard += [next(blocks) for _ in range(MESSAGES + 3)]  # those that it had sent, and some of its successor's
        assert [float(block[0]) * 32 for block in heard] == list(range(MESSAGES + 4))
        (again,) = workers() - others
        os.kill(again, signal.SIGKILL)
        with pytest.raises(AudioError, match=r"long.wav: the process that decoded it was killed 2 times"):
            list(blocks)
        following = next(recordings)
        np.testing.assert_array_equal(np.concatenate(list(following.blocks())), read_audio(files[5], 16000))


def test_ending_leaves_no_process(files: list[str]) -> None:
    before = workers()
    with Decoders(2, 16000) as decoders:
        next(decoders.each(files))
        assert len(workers() - before) == 2
    assert workers() == before
