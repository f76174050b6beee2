"""Audio decoded in processes of their own, ahead of the one that embeds it."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any

import numpy as np

from selfie_hear.audio import AudioError, printable, stream_audio
from selfie_hear.pretrained import file_digest

ATTEMPTS = 2  # at a file during which the process was killed
AHEAD = 8  # files that a process is ahead of what is heard
MESSAGES = 16  # of a process that are held for it, at most 4 MB each
Message = np.ndarray | AudioError | str  # a block of samples; the end: what was wrong, or the digest of a whole file


class Recording:
    """A file that is being decoded.

    Attributes:
        path: of the file.
        samples: heard so far, at the rate of the model.
        waited: seconds spent waiting for them.
        digest: SHA-256 of the file's bytes, in hexadecimal, known when all blocks have been heard.
    """

    def __init__(self, path: str, messages: Iterator[Message]) -> None:
        self.path, self.samples, self.waited, self.digest = path, 0, 0.0, ""
        self._messages = messages

    def blocks(self) -> Iterator[np.ndarray]:
        """Samples `(n,)`, float32; whoever takes over goes on where the last one stopped.

        Raises:
            AudioError: see `stream_audio`.
        """
        while True:
            asked = time.perf_counter()
            message = next(self._messages, None)
            self.waited += time.perf_counter() - asked
            if message is None:
                return
            if isinstance(message, AudioError):
                raise message
            if isinstance(message, str):
                self.digest = message
                return
            self.samples += len(message)
            yield message

    def skip(self) -> None:
        """Pass over what has not been heard."""
        with suppress(AudioError):
            for _ in self.blocks():
                pass


def decode(path: str, sample_rate: int) -> Iterator[Message]:
    """Blocks of a file and, at the end, its digest or what is wrong with it."""
    try:
        yield from stream_audio(path, sample_rate)
        yield file_digest(Path(path))
    except AudioError as error:
        yield error
    except OSError as error:
        yield AudioError(f"{printable(path)}: cannot be read ({error.strerror})")


class Decoders:
    """Processes that decode files in turn, each some files or, of a long one, some blocks ahead of what is heard.

    The results come in the order of the files. A process that is killed at a file is replaced and the file decoded
    anew; if that happens again the file counts as unreadable.
    """

    def __init__(self, workers: int, sample_rate: int) -> None:
        """
        Args:
            workers: processes; with 0 the files are decoded in this one, when they are heard.
            sample_rate: Hz of the blocks.
        """
        self._rate = sample_rate
        self._workers = [_Worker(sample_rate) for _ in range(workers)]

    def each(self, paths: Iterable[str]) -> Iterator[Recording]:
        """A recording for each path; what of it is not heard when the next is asked for is passed over."""
        if not self._workers:
            for path in paths:
                yield Recording(path, decode(path, self._rate))
            return
        source = enumerate(paths)
        ahead = deque[tuple[int, str]]()
        while True:
            while len(ahead) < AHEAD * len(self._workers) and (item := next(source, None)):
                ahead.append(item)
                self._workers[item[0] % len(self._workers)].ask(item[1])
            if not ahead:
                return
            number, path = ahead.popleft()
            recording = Recording(path, self._workers[number % len(self._workers)].answer(path))
            yield recording
            recording.skip()

    def __enter__(self) -> Decoders:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()


class _Worker:
    def __init__(self, sample_rate: int) -> None:
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        self._context.set_forkserver_preload([__name__])  # torch and the rest are imported once
        self._rate = sample_rate
        self._asked = deque[str]()
        self._start()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs, self._rate), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the connection
        self._heard: Queue[Message | None] = Queue(MESSAGES)
        self._thread = threading.Thread(target=_receive, args=(self._connection, self._heard), daemon=True)
        self._thread.start()

    def ask(self, path: str) -> None:
        self._asked.append(path)
        with suppress(OSError):  # it was killed: answering will show that
            self._connection.send(path)

    def answer(self, path: str) -> Iterator[Message]:
        """What the process says about the file that was asked for first."""
        heard = 0
        for attempt in range(1, ATTEMPTS + 1):
            skip = heard  # blocks that were handed on before the process was killed: decoding gives the same again
            while (message := self._heard.get()) is not None:
                if not isinstance(message, np.ndarray):
                    self._asked.popleft()
                    yield message
                    return
                if skip:
                    skip -= 1
                else:
                    heard += 1
                    yield message
            if attempt == ATTEMPTS:
                self._asked.popleft()
            self._restart()
        yield AudioError(f"{printable(path)}: the process that decoded it was killed {ATTEMPTS} times")

    def _restart(self) -> None:
        self.end()
        self._start()
        with suppress(OSError):
            for path in self._asked:
                self._connection.send(path)

    def end(self) -> None:
        """Stop at once."""
        self._process.kill()
        self._process.join()
        while self._thread.is_alive():  # until there is room for its last message
            with suppress(Empty):
                self._heard.get(timeout=0.01)
        self._connection.close()


def _receive(connection: Connection, heard: Queue[Message | None]) -> None:
    """Take what comes as it comes: a process that must wait with half a message costs the time to wake it."""
    with suppress(EOFError, OSError):
        while True:
            heard.put(connection.recv())
    heard.put(None)


def _work(connection: Connection, sample_rate: int) -> None:
    """Answer until the other end is closed, as the end of its process, however it comes, does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that writes
    with suppress(EOFError, OSError):
        while True:
            for message in decode(connection.recv(), sample_rate):
                connection.send(message)
