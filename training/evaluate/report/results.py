"""Result files, which the commands that judge embeddings write, and what each kind of them holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


class ReportError(ValueError):
    """A result that cannot be reported; the message says which, what is wrong and what is accepted."""


_MEASURE = {"mean": float, "ci95": float}
_LABEL: list[type] = [str]
# A type; (type,): that or null; a list of any length; an object with these keys, or, under the key "*", with any.
_LINEAR: dict[str, Any] = {
    "config": {},
    "rows": [{"model": str, "task": str, "labels": _LABEL, "metrics": {"*": _MEASURE}, "class_f1": [float]}],
}
KINDS: dict[str, dict[str, Any]] = {
    "linear": _LINEAR,
    "regression": _LINEAR,
    "knn": {"rows": [{"model": str, "task": str, "accuracy": float, "k": [int]}]},
    "finetune": {"config": {}, "rows": [{"model": str, "task": str, "frozen": _MEASURE, "finetuned": _MEASURE}]},
    "history": {
        "run": str,
        "rows": [{"step": float, "epoch": (float,), "branch": str, "task": str, "accuracy": float}],
    },
    "cka": {"task": str, "models": _LABEL, "layers": [_LABEL], "matrix": [[float]]},
    "map": {
        "model": str, "task": str, "method": str, "labels": _LABEL, "points": [[float]], "classes": [int],
    },
    "hear": {"grid": str, "rows": [{"model": str, "task": str, "metric": str, "score": (float,), "seconds": float}]},
    "windows": {"rows": [{"model": str, "task": str, "window_ms": float, "metric": str, "score": (float,)}]},
}  # fmt: skip
_NAMES = {float: "a finite number", int: "a whole number", str: "text"}


def read_result(path: Path) -> dict[str, Any]:
    """A result file.

    Raises:
        ReportError: it is missing, damaged or of an unknown kind, or lacks something.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(
            f"{path}: missing or not JSON ({error}); accepted is what a command wrote to --json"
        ) from error
    try:
        check_result(result)
    except ReportError as error:
        raise ReportError(f"{path}: {error}") from error
    return dict(result)


def check_result(result: Any) -> None:
    """
    Raises:
        ReportError: of no known kind, or not as that kind is.
    """
    kind = result.get("kind") if isinstance(result, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ReportError(f"a result of kind {kind!r}; accepted is what a command wrote to --json: {', '.join(KINDS)}")
    _check(result, KINDS[kind], kind)
    if not result.get("rows", True):
        raise ReportError(f"{kind}.rows: empty; one row or more is needed")
    for number, row in enumerate(result["rows"] if KINDS[kind] is _LINEAR else ()):
        _check_linear(row, f"{kind}.rows[{number}]")
    if kind == "cka":
        _check_cka(result)
    elif kind == "map":
        _check_map(result)


def _check(value: Any, shape: Any, where: str) -> None:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise ReportError(f"{where}: an object is needed, got {str(value)[:40]!r}")
        for key, inner in shape.items():
            if key != "*" and key not in value:
                raise ReportError(f"{where}: has no {key!r}")
            for name in value if key == "*" else (key,):
                _check(value[name], inner, f"{where}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list | tuple):
            raise ReportError(f"{where}: a list is needed, got {str(value)[:40]!r}")
        for number, item in enumerate(value):
            _check(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, tuple):
        if value is not None:
            _check(value, shape[0], where)
    else:
        fits = isinstance(value, (int, float) if shape is float else shape) and not isinstance(value, bool)
        if not fits or (shape is float and not math.isfinite(value)):
            raise ReportError(f"{where}: {_NAMES[shape]} is needed, got {str(value)[:40]!r}")


def _check_linear(row: dict[str, Any], where: str) -> None:
    count = len(row["labels"])
    if not count or not row["metrics"] or len(row["class_f1"]) != count:
        raise ReportError(f"{where}: labels, a metric and as many class_f1 as labels ({count}) are needed")
    if (confusion := row.get("confusion")) is not None:
        _check(confusion, [[int]], f"{where}.confusion")
        if [len(line) for line in confusion] != [count] * count:
            raise ReportError(f"{where}.confusion: {count} rows of {count} counts are needed, one for each label")


def _check_cka(result: dict[str, Any]) -> None:
    sizes = [len(layers) for layers in result["layers"]]
    if len(result["models"]) != 2 or len(sizes) != 2 or not all(sizes):
        raise ReportError("cka: two models and the layers of each are needed")
    if [len(line) for line in result["matrix"]] != [sizes[1]] * sizes[0]:
        raise ReportError(f"cka.matrix: {sizes[0]} rows of {sizes[1]} are needed, as many as there are layers")
    _check(result.get("chance", []), [[float]], "cka.chance")


def _check_map(result: dict[str, Any]) -> None:
    points, classes, count = result["points"], result["classes"], len(result["labels"])
    if not points or len(points) != len(classes) or any(len(point) != 2 for point in points):
        raise ReportError("map: points of x and y, and as many classes, are needed")
    if not all(0 <= number < count for number in classes):
        raise ReportError(f"map.classes: indices of the {count} labels are needed")
