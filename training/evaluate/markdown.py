"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ABSENT = "–"  # noqa: RUF001


def markdown(lines: Iterable[Sequence[str]]) -> str:
    """Lines of cells, the second of them dashes, as a table whose every line ends in a newline."""
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
