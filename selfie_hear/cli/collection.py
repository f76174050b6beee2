"""Filling a collection, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from selfie_hear import corpus
from selfie_hear.audio import printable
from selfie_hear.cli.shared import bar, complain, notes
from selfie_hear.embedder import Embedder
from selfie_hear.origin import Origin


class Settings(NamedTuple):
    """What only a collection has."""

    dtype: str = "float32"
    shard_size: int = corpus.SHARD_SIZE
    workers: int | None = None
    engine: str = "local"


def fill(paths: Sequence[str], out: Path, embedder: Embedder, origin: Origin, settings: Settings) -> bool:
    """Fill a collection and say how far it is; returns whether all files could be embedded."""
    with _progress(out) as report:
        done = corpus.embed_collection(paths, out, embedder, origin, **settings._asdict(), report=report)
    kept = done.files - done.failed
    notes.print(f"{printable(out)}: {kept} of {done.files} files embedded, in {done.shards} parts", soft_wrap=True)
    if done.failed:
        complain(f"not embedded: {done.failed} files; {printable(out)}/_errors-*.parquet says which and why")
    for text in done.unsearched:
        complain(f"not embedded: {text}")
    return not done.failed and not done.unsearched


@contextmanager
def _progress(out: Path) -> Iterator[Callable[[corpus.Progress], None]]:
    """A bar over files in a terminal, or else a line for each shard."""
    with bar() as bars:
        task = bars.add_task("embedding", total=None, rate="")
        shards = -1

        def report(now: corpus.Progress) -> None:
            nonlocal shards
            if shards < 0 and now.resumed:
                notes.print(
                    f"{printable(out)}: goes on with its list of {now.files} files, {now.files_done} of them done; "
                    "what came later is not in it",
                    soft_wrap=True,
                )
            elapsed = bars.tasks[0].elapsed or 0.0
            rate = f"{(now.done.audio + now.now.audio) / elapsed:.0f} x real time" if elapsed else ""
            bars.update(task, total=now.files, completed=now.files_done, rate=rate)
            if now.shards_done != shards and now.shards_done and not notes.is_terminal:
                left = bars.tasks[0].time_remaining
                rest = f", {left / 60:.0f} min left" if left else ""
                notes.print(f"shard {now.shards_done} of {now.shards}: {now.files_done} files{rest}", soft_wrap=True)
            shards = now.shards_done

        yield report
