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
    return _in_folds(source, layout, "meta/esc50.csv", ("filename", "fold", "category"), 5, "{file}")


def find_urbansound8k(source: Path) -> Iterator[Clip]:
    """UrbanSound8K (Salamon et al. 2014), as unpacked: metadata/UrbanSound8K.csv and audio/foldN/*.wav; label: class.

    The official ten folds. Published figures train on nine; HEAR's reading takes one of them for validation.
    """
    layout = "UrbanSound8K as unpacked: metadata/UrbanSound8K.csv with slice_file_name, fold and class, and audio/foldN"
    return _in_folds(
        source, layout, "metadata/UrbanSound8K.csv", ("slice_file_name", "fold", "class"), 10, "fold{fold}/{file}"
    )


def _in_folds(
    source: Path, layout: str, metadata: str, columns: tuple[str, str, str], folds: int, place: str
) -> Iterator[Clip]:
    """Clips of a table with a row for each: `columns` are those of file, fold and label; `place` is below audio/."""
    audio = find(source, ["audio"], layout)
    table = find(source, [metadata], layout)
    for file, fold, label in read_table(table, columns):
        if fold not in map(str, range(1, folds + 1)):
            raise PrepareError(f"{table}: has a fold {fold!r}; there are 1 to {folds}")
        path = audio / place.format(file=file, fold=fold)
        yield Clip(path, f"fold{int(fold) - 1:02d}", label, f"{Path(file).stem}.wav")
