"""Environmental sounds: ESC-50 and UrbanSound8K."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.evaluate.prepare.layout import find, read_table
from training.evaluate.prepare.task import Clip, PrepareError


def find_esc50(source: Path) -> Iterator[Clip]:
    """ESC-50 (Piczak 2015), `ESC-50-master` as unpacked: meta/esc50.csv and audio/*.wav; label: the category.

    The official five folds. Published figures train on four; HEAR's reading takes one of them for validation.
    """
    layout = "ESC-50 as unpacked: meta/esc50.csv with filename, fold and category, and audio/*.wav"
    audio = find(source, ["audio"], layout)
    table = find(source, ["meta/esc50.csv"], layout)
    for file, fold, category in read_table(table, ["filename", "fold", "category"]):
        yield Clip(audio / file, _fold(table, fold, 5), category, f"{Path(file).stem}.wav")


def find_urbansound8k(source: Path) -> Iterator[Clip]:
    """UrbanSound8K (Salamon et al. 2014), as unpacked: metadata/UrbanSound8K.csv and audio/foldN/*.wav; label: class.

    The official ten folds. Published figures train on nine; HEAR's reading takes one of them for validation.
    """
    layout = "UrbanSound8K as unpacked: metadata/UrbanSound8K.csv with slice_file_name, fold and class, and audio/foldN"
    audio = find(source, ["audio"], layout)
    table = find(source, ["metadata/UrbanSound8K.csv"], layout)
    for file, fold, label in read_table(table, ["slice_file_name", "fold", "class"]):
        yield Clip(audio / f"fold{fold}" / file, _fold(table, fold, 10), label, f"{Path(file).stem}.wav")


def _fold(table: Path, number: str, folds: int) -> str:
    if number not in map(str, range(1, folds + 1)):
        raise PrepareError(f"{table}: has a fold {number!r}; there are 1 to {folds}")
    return f"fold{int(number) - 1:02d}"
