"""What the `selfie-hear` command shows of collections and searches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from selfie_hear import corpus
from selfie_hear.audio import printable
from selfie_hear.embedder import Embedder
from selfie_hear.origin import Origin
from selfie_hear.search import SoundSearch

notes = Console(markup=False, emoji=False, highlight=False, stderr=True)


def is_folder(out: str) -> bool:
    """Whether an output is a collection's folder: it ends in / or has no suffix."""
    return out.endswith("/") or not Path(out).suffix


def embed(
    paths: Sequence[str],
    out: Path,
    embedder: Embedder,
    origin: Origin,
    dtype: str,
    shard_size: int,
    workers: int | None,
    engine: str,
) -> bool:
    """Fill a collection and say how far it is; returns whether all files could be embedded."""
    with _progress(out) as report:
        done = corpus.embed_collection(
            paths, out, embedder, origin,
            dtype=dtype, shard_size=shard_size, workers=workers, engine=engine, report=report,
        )  # fmt: skip
    kept = done.files - done.failed
    notes.print(f"{printable(out)}: {kept} of {done.files} files embedded, in {done.shards} parts", soft_wrap=True)
    if done.failed:
        text = f"not embedded: {done.failed} files; {printable(out)}/_errors-*.parquet says which and why"
        notes.print(text, style="red", soft_wrap=True)
    for text in done.unsearched:
        notes.print(f"not embedded: {text}", style="red", soft_wrap=True)
    return not done.failed and not done.unsearched


@contextmanager
def _progress(out: Path) -> Iterator[Callable[[corpus.Progress], None]]:
    """A bar over files in a terminal, or else a line for each shard."""
    columns = (
        TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task = bar.add_task("embedding", total=None, rate="")
        shards = -1

        def report(now: corpus.Progress) -> None:
            nonlocal shards
            if shards < 0 and now.resumed:
                notes.print(
                    f"{printable(out)}: goes on with its list of {now.files} files, {now.files_done} of them done; "
                    "what came later is not in it",
                    soft_wrap=True,
                )
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f"{(now.done.audio + now.now.audio) / elapsed:.0f} x real time" if elapsed else ""
            bar.update(task, total=now.files, completed=now.files_done, rate=rate)
            if now.shards_done != shards and now.shards_done and not notes.is_terminal:
                left = bar.tasks[0].time_remaining
                rest = f", {left / 60:.0f} min left" if left else ""
                notes.print(f"shard {now.shards_done} of {now.shards}: {now.files_done} files{rest}", soft_wrap=True)
            shards = now.shards_done

        yield report


def search(index: SoundSearch, queries: Sequence[str], embedder: Embedder, k: int) -> Iterator[str]:
    """Lines to show: for each query its name, if there are several, and cosine, path and time of what is like it."""
    for query, hits in zip(queries, index.like(queries, embedder, k), strict=True):
        if len(queries) > 1:
            yield f"{printable(query)}:"
        for hit in hits:
            time = "" if hit.time_ms is None else f"  {hit.time_ms / 1000:.2f} s"
            yield f"{hit.score:+.3f}  {hit.path}{time}"
