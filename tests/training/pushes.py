"""`python -m training push` in a process of its own: jobs for a visitor of the Hub."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import NamedTuple

from training.__main__ import main


class Said(NamedTuple):
    """What a command ended with and said."""

    code: int
    out: str
    notes: str


def push(*words: str | Path, token: str = "hf_right") -> Said:
    """A job: `python -m training push WORDS`."""
    sys.argv = ["training", "push", *map(str, words)]
    os.environ["HF_TOKEN"] = token
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as notes:
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    del os.environ["HF_TOKEN"]
    return Said(code, out.getvalue(), notes.getvalue())


def push_with(words: tuple[str | Path, ...], token: str) -> Said:
    """A job: push with another token."""
    return push(*words, token=token)
