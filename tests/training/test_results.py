"""Results as a report reads them: whole ones are gathered, damaged ones refused by name."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.results import all_kinds, measure
from training.evaluate.report.build import ReportError, build_report, linear_table, write_report


def test_written_from_files(tmp_path: Path) -> None:
    paths = []
    for kind in ("linear", "knn"):
        paths.append(tmp_path / f"{kind}.json")
        paths[-1].write_text(json.dumps({**all_kinds()[kind], "more": "is no harm"}))
    out = tmp_path / "report.html"
    write_report(paths, out)
    assert out.read_text("utf-8") == build_report([all_kinds()["linear"], all_kinds()["knn"]], "Evaluation")
    before = out.read_bytes()
    paths[1].write_text("{")
    with pytest.raises(ReportError, match=r"knn\.json: missing or not JSON .*accepted is what a command wrote"):
        write_report(paths, out)
    assert out.read_bytes() == before and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "missing or not JSON"),
        ("[" * 100_000, "missing or not JSON"),
        (
            "[]",
            "a result of kind None; accepted is .*linear, regression, knn, finetune, history, cka, map, hear, windows",
        ),
        ('{"kind": "svm"}', "a result of kind 'svm'; accepted"),
        ('{"kind": ["linear"]}', "accepted is what a command wrote"),
        ('{"kind": "knn"}', "knn: has no 'rows'"),
        ('{"kind": "knn", "rows": []}', "knn.rows: empty"),
        ('{"kind": "knn", "rows": [7]}', r"knn.rows\[0\]: an object is needed, got '7'"),
        ('{"kind": "knn", "rows": {}}', "knn.rows: a list is needed"),
    ],
)
def test_files_that_are_no_results(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(content)
    with pytest.raises(ReportError, match=rf"some\.json: .*{message}"):
        write_report([path], tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
    with pytest.raises(ReportError, match=r"nowhere\.json: missing"):
        write_report([tmp_path / "nowhere.json"], tmp_path / "out.html")


def broken(kind: str, place: list[str | int], value: object) -> dict[str, Any]:
    result = copy.deepcopy(all_kinds()[kind])
    inner: Any = result
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return result


@pytest.mark.parametrize(
    ("kind", "place", "value", "message"),
    [
        ("linear", ["rows", 0, "metrics", "f1", "mean"], "7", r"linear.rows\[0\].metrics.f1.mean: a finite number"),
        ("linear", ["rows", 0, "class_f1"], [1.0], r"as many class_f1 as labels \(2\)"),
        ("linear", ["rows", 0, "metrics"], {}, "a metric"),
        ("linear", ["rows", 0, "metrics"], {"f1": measure(1.0)}, "has neither accuracy nor map"),
        ("linear", ["rows", 0, "confusion"], [[1, 2]], "2 rows of 2 counts"),
        ("linear", ["rows", 0, "confusion"], [[1, 2], [3, 0.5]], r"confusion\[1\]\[1\]: a whole number"),
        ("knn", ["rows", 0, "accuracy"], float("nan"), "accuracy: a finite number is needed, got 'nan'"),
        ("knn", ["rows", 0, "accuracy"], True, "a finite number"),
        ("knn", ["rows", 0, "model"], None, "text is needed, got 'None'"),
        ("history", ["rows", 0, "epoch"], "1", "a finite number"),
        ("cka", ["matrix"], [[0.1]], "1 rows of 2 are needed"),
        ("cka", ["models"], ["m"], "two models"),
        ("cka", ["chance"], [["x"]], "chance"),
        ("map", ["classes"], [0, 1, 2], "indices of the 2 labels"),
        ("map", ["classes"], [0], "as many classes"),
        ("map", ["points", 0], [1.0], "points of x and y"),
        ("hear", ["rows", 0, "score"], "high", "a finite number"),
    ],
)
def test_damaged_results_are_refused(kind: str, place: list[str | int], value: object, message: str) -> None:
    with pytest.raises(ReportError, match=message):
        build_report([broken(kind, place, value)], "t")


def test_what_cannot_be_gathered() -> None:
    linear = all_kinds()["linear"]
    for gather in (lambda of: build_report(of, "t"), linear_table):
        with pytest.raises(ReportError, match="two results for .* on esc50; leave one of them out"):
            gather([linear, linear])
    with pytest.raises(ReportError, match="no result"):
        build_report([], "t")
    with pytest.raises(ReportError, match="no result of kind linear; run linear"):
        linear_table([all_kinds()["knn"]])
