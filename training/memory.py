"""Memory that the C library keeps instead of giving it back to the system after every operation."""

from __future__ import annotations

import ctypes
import os
import platform

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Let blocks of any size come from memory that is kept, for the rest of the process.

    By default glibc maps each large tensor afresh, and the system clears it page by page: a third of a training step
    on a CPU (`benchmarks.training`). To be called before the first large tensor, for torch to ask for huge pages too.
    Returns whether the C library is one that can be told.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch looks at it once
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Old ones take no more than 2**25. Where it is not set, setting the others would fix it at its default of 2**17.
    if not any(mallopt(_MMAP_THRESHOLD, size) == 1 for size in (2**30, 2**25)):
        return False
    taken = [mallopt(name, value) == 1 for name, value in ((_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**29))]
    return all(taken)
