"""Results of every kind of evaluation, as its commands write them."""

from __future__ import annotations

from typing import Any

NASTY = "<script>alert('x')</script> & \"q\" $y$"


def measure(mean: float, ci95: float = 1.0) -> dict[str, float]:
    return {"mean": mean, "ci95": ci95}


def linear_row(model: str, task: str, accuracy: float, **changed: Any) -> dict[str, Any]:
    metrics = {"accuracy": measure(accuracy, 0.44), "f1": measure(31.26), "wap": measure(47.5)}
    row = {"model": model, "task": task, "labels": ["a", NASTY], "metrics": metrics, "class_f1": [10.0, 90.0]}
    return {**row, "confusion": [[3, 1], [0, 4]], **changed}


def all_kinds() -> dict[str, dict[str, Any]]:
    """One small result of each kind."""
    config = {"epochs": 200, "seeds": 5}
    return {
        "linear": {"kind": "linear", "config": config, "rows": [linear_row(NASTY, "esc50", 61.24)]},
        "regression": {"kind": "regression", "config": {"penalties": [0.1]}, "rows": [linear_row(NASTY, "t", 71.2)]},
        "knn": {"kind": "knn", "rows": [{"model": NASTY, "task": "esc50", "accuracy": 51.51, "k": [1, 20]}]},
        "finetune": {
            "kind": "finetune", "config": config,
            "rows": [{"model": "m", "task": "t", "frozen": measure(40.04), "finetuned": measure(52.5, 2.2)}],
        },
        "history": {
            "kind": "history", "run": NASTY,
            "rows": [
                {"step": 1500, "epoch": epoch, "branch": "online", "task": "t", "accuracy": 33.33}
                for epoch in (0.5,)
            ],
        },
        "cka": {
            "kind": "cka", "task": "t", "models": ["m", NASTY], "layers": [["l1"], ["r1", NASTY]],
            "matrix": [[0.912, 0.34]], "chance": [[0.1, 0.3]],
        },
        "map": {
            "kind": "map", "model": "m", "task": "t", "method": "t-SNE", "labels": ["a", NASTY],
            "points": [[0.0, 1.0], [2.0, 3.0], [2.0, 2.0]], "classes": [0, 1, 1],
        },
        "hear": {
            "kind": "hear", "grid": "faster",
            "rows": [
                {"model": "m | x", "task": "esc50-v2.0.0-full", "metric": "top1_acc", "score": 0.5125, "seconds": 61.4},
                {"model": "m | x", "task": "esc50-v2.0.0-full", "metric": "other", "score": 0.9, "seconds": 61.4},
                {"model": "m | x", "task": "tiny", "metric": "mAP", "score": None, "seconds": 2.0},
            ],
        },
        "windows": {
            "kind": "windows",
            "rows": [{"model": "m", "task": "t", "window_ms": 160, "metric": "onset", "score": 0.1234}],
        },
    }  # fmt: skip
