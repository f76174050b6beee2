"""Results of all kinds on one page of HTML that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.evaluate.report.page import page, table
from training.evaluate.report.results import ReportError, check_result, read_result
from training.evaluate.report.sections import SECTIONS
from training.evaluate.report.summary import linear_table, summarise
from training.files import write_whole

__all__ = ["ReportError", "build_report", "linear_table", "write_report"]

_Result = Mapping[str, Any]


def write_report(paths: Sequence[Path], out: Path, title: str = "Evaluation") -> None:
    """Read result files and write the page, whole or not at all.

    Raises:
        ReportError: no file, one that is missing, damaged or of an unknown kind, or see `build_report`.
        MissingExtraError: matplotlib is not installed.
        OSError: `out` cannot be written.
    """
    write_whole(out, build_report([read_result(path) for path in paths], title))


def build_report(results: Sequence[_Result], title: str) -> str:
    """The page: one table of linear accuracy beside the paper's, then a section for each result.

    Raises:
        ReportError: no result, one of an unknown kind or not as its kind is, or two for the same model and task.
        MissingExtraError: matplotlib is not installed.
    """
    if not results:
        raise ReportError("no result; one file or more that a command wrote to --json is needed")
    for result in results:
        check_result(result)
    head = _summary(results)
    sections = []
    for kind, (heading, build) in SECTIONS.items():
        of_kind = [result for result in results if result["kind"] == kind]
        for number, result in enumerate(of_kind, 1):
            sections.append((f"{heading} ({number})" if len(of_kind) > 1 else heading, build(result)))
    return page(title, head, sections)


def _summary(results: Sequence[_Result]) -> str:
    summary = summarise(results)
    if summary is None:
        return ""
    said = "Accuracy in % of one linear layer on frozen embeddings, mean and 95 % confidence interval; best in bold."
    if quoted := {number for number, row in enumerate(summary.rows) if row.quoted}:
        said += " Published: as in SELFIE's paper (Nguyen et al., tables 2 and 3)."
    return table(said, ["model", *summary.titles, "mean"], summary.cells(), summary.best(), quoted)
