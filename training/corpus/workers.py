"""Jobs done in processes of their own, which end with the one that began them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import TypeVar

Job = TypeVar("Job")


class WorkerError(RuntimeError):
    """A process that was killed at its work."""


def each_done(work: Callable[[Job], None], jobs: Sequence[Job], workers: int) -> Iterator[Job]:
    """Do `work(job)` for all jobs, in this process if one is enough; yields each when it is done.

    Args:
        work: a function that can be imported.

    Raises:
        WorkerError: a process was killed. What `work` raises is raised here.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            work(job)
            yield job
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([work.__module__])  # torch and the rest are imported once
    with ProcessPoolExecutor(workers, context, initializer=_die_with_parent) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenProcessPool as error:
            text = "a process was killed at its work, perhaps for lack of memory; the same call goes on from there"
            raise WorkerError(text) from error
        except BaseException:
            pool.shutdown(cancel_futures=True)  # and wait for those that run, or they would write into the next call
            raise


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch(sentinel: int = parent.sentinel) -> None:
        connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
