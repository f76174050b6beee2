"""Linear evaluation in one table: our models and the paper's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluate.markdown import ABSENT, markdown
from training.evaluate.report.canvas import one_line
from training.evaluate.report.published import TITLES, read_published
from training.evaluate.report.results import ReportError, check_result


@dataclass(frozen=True)
class SummaryRow:
    """A model's results.

    Attributes:
        quoted: of the paper, not ours.
        means, intervals: task to mean and half the 95 % confidence interval, in %; the paper's come without.
    """

    model: str
    quoted: bool
    means: Mapping[str, float]
    intervals: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """Rows over the same tasks, those of the nine in the paper's order first; of multilabel tasks, the mAP."""

    tasks: list[str]
    titles: list[str]
    rows: list[SummaryRow]

    def cells(self) -> list[list[str]]:
        """Model, one cell for each task, and the mean over all tasks of those rows that have all."""
        found = []
        for row in self.rows:
            cells = [one_line(row.model)]
            for task in self.tasks:
                wide = f" ± {row.intervals[task]:.1f}" if task in row.intervals else ""
                cells.append(f"{row.means[task]:.1f}{wide}" if task in row.means else ABSENT)
            whole = len(row.means) == len(self.tasks)
            found.append([*cells, f"{np.mean(list(row.means.values())):.1f}" if whole else ABSENT])
        return found

    def best(self) -> set[tuple[int, int]]:
        """Row and column of the cells with the greatest value, as it is written, of their column."""
        found = set()
        values = [[cell.partition(" ")[0] for cell in row[1:]] for row in self.cells()]
        for column in range(len(self.tasks) + 1):
            numbers = [float(row[column]) if row[column] != ABSENT else -np.inf for row in values]
            found |= {(n, column + 1) for n, value in enumerate(numbers) if value == max(numbers) > -np.inf}
        return found


def summarise(results: Sequence[Mapping[str, Any]], published: bool = True, kind: str = "linear") -> Summary | None:
    """All results of kind linear, with the paper's rows where tasks are among its nine; None: there are none.

    Args:
        kind: "regression" for those instead; the paper has none.

    Raises:
        ReportError: two results for the same model and task.
    """
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    multilabel = set()
    for row in (row for result in results if result["kind"] == kind for row in result["rows"]):
        metric = "accuracy" if "accuracy" in row["metrics"] else "map" if "map" in row["metrics"] else ""
        if not metric:
            raise ReportError(f"{kind}: {row['model']} on {row['task']} has neither accuracy nor map")
        if row["task"] in found.setdefault(row["model"], {}):
            raise ReportError(f"{kind}: two results for {row['model']} on {row['task']}; leave one of them out")
        found[row["model"]][row["task"]] = row["metrics"][metric]
        if metric == "map":
            multilabel.add(row["task"])
    if not found:
        return None
    there = dict.fromkeys(task for row in found.values() for task in row)
    tasks = [task for task in TITLES if task in there] + [task for task in there if task not in TITLES]
    quoted = [
        SummaryRow(row.name, True, {task: row.accuracy[task] for task in tasks if task in row.accuracy}, {})
        for row in (read_published() if published and kind == "linear" and not TITLES.keys().isdisjoint(tasks) else ())
    ]
    ours = [
        SummaryRow(model, False, *({task: row[task][key] for task in tasks if task in row} for key in ("mean", "ci95")))
        for model, row in found.items()
    ]
    titles = [f"{TITLES.get(task, task)}{' (mAP)' if task in multilabel else ''}" for task in tasks]
    return Summary(tasks, titles, [*ours, *quoted])


def linear_table(results: Sequence[Mapping[str, Any]], published: bool = True, kind: str = "linear") -> str:
    """The summary in Markdown, best in bold: lines that end in a newline.

    Args:
        results: of any kind; those of `kind`, linear or regression, are shown.
        published: whether the paper's rows stand below ours.

    Raises:
        ReportError: none of that kind, two for the same model and task, or a result not as its kind is.
    """
    for result in results:
        check_result(result)
    summary = summarise(results, published, kind)
    if summary is None:
        raise ReportError(f"no result of kind {kind}; run {kind} with --json first")
    best = summary.best()
    lines = [["model", *map(one_line, summary.titles), "mean"], ["---", *["---:"] * (len(summary.tasks) + 1)]]
    for number, row in enumerate(summary.cells()):
        lines.append([f"**{cell}**" if (number, column) in best else cell for column, cell in enumerate(row)])
    return markdown(lines)


def markdown_table(rows: Sequence[Mapping[str, Any]], column: str, show: Callable[[Mapping[str, Any]], str]) -> str:
    """A line for each `model`, a column for each value of `column`: Markdown lines that end in a newline."""
    heads = list(dict.fromkeys(row[column] for row in rows))
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row["model"], {})[row[column]] = show(row)
    lines = [["model", *map(one_line, heads)], ["---", *["---:"] * len(heads)]]
    lines += [[one_line(model), *(of.get(head, ABSENT) for head in heads)] for model, of in cells.items()]
    return markdown(lines)
