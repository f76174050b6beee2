"""Pictures of results: what is written on them, and what must not break them; t-SNE maps."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.evaluate.embedding_map import embedding_map
from training.evaluate.report import pictures
from training.evaluate.report.canvas import apart, one_line
from training.evaluate.tasks import Fold, SceneTask, TaskError

HOSTILE = ["$x_", "_hidden", "a\nb", "\\frac{", "tab\tand more", "\ud800", "x" * 300, "ünïcode & <b>"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures as they are turned to PNG."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return b"PNG"

    monkeypatch.setattr(pictures, "png", keep)
    return figures


def texts(figure: Figure) -> list[str]:
    """All that is written, once it is laid out."""
    FigureCanvasAgg(figure).draw()
    found = [text.get_text() for of in figure.legends for text in of.get_texts()]
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        found += [text.get_text() for text in [*axes.texts, *ticks, axes.xaxis.label, axes.yaxis.label]]
        found.append(axes.get_title(loc="left"))
    return found


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and png.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_confusion_is_the_share_of_each_row(drawn: list[Figure]) -> None:
    pictures.confusion_picture([[3, 1, 0], [0, 0, 0], [1, 0, 1]], ["a", "b", "c"], "t")
    axes = drawn[0].axes[0]
    image = axes.images[0].get_array()
    assert image is not None and image.tolist() == [[75, 25, 0], [0, 0, 0], [50, 0, 50]]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((0, 0), "75"), ((1, 0), "25"), ((0, 2), "50"), ((2, 2), "50"),
    ]  # fmt: skip
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("truth", "answer")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize("count", [2, 50])
def test_labels_of_a_confusion_do_not_overlap(count: int, drawn: list[Figure]) -> None:
    labels = [f"label number {n}" for n in range(count)]
    pictures.confusion_picture(np.eye(count, dtype=int).tolist(), labels, "t")
    canvas = FigureCanvasAgg(drawn[0])
    canvas.draw()
    axes = drawn[0].axes[0]
    for ticks, low, high in ((axes.get_yticklabels(), "y0", "y1"), (axes.get_xticklabels(), "x0", "x1")):
        assert [text.get_text() for text in ticks] == labels
        boxes = sorted((getattr(box, low), getattr(box, high)) for box in (text.get_window_extent() for text in ticks))
        assert all(before[1] <= after[0] + 0.5 for before, after in itertools.pairwise(boxes))
        width, height = drawn[0].get_size_inches() * drawn[0].dpi
        assert all(box[0] >= -1 and box[1] <= max(width, height) for box in boxes)


def test_beyond_100_labels_a_heat_map_has_none(drawn: list[Figure]) -> None:
    pictures.confusion_picture(np.eye(101, dtype=int).tolist(), [f"label {n}" for n in range(101)], "t")
    assert not any("label" in text for text in texts(drawn[0]))


def test_cka_names_layers_and_models(drawn: list[Figure]) -> None:
    pictures.cka_picture([[1.0, 0.5, 0.001], [0.25, 0.75, 1.0]], [["a1", "a2"], ["b1", "b2", "b3"]], ["A", "B"], "t")
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.50", "0.25", "0.75", "1.00"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("A", "B")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["b1", "b2", "b3"]


def test_f1_bars_from_the_best_label_to_the_worst(drawn: list[Figure]) -> None:
    pictures.class_f1_picture({"m": [10, 90, 50], "_n": [30, 80, 40]}, ["low", "high", "mid"], "t")
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["high", "mid", "low"]
    assert [[bar.get_width() for bar in bars] for bars in axes.containers] == [[90, 50, 10], [80, 40, 30]]
    assert [text.get_text().strip() for text in drawn[0].legends[0].get_texts()] == ["m", "_n"]


def test_of_many_labels_the_worst_are_shown_and_the_picture_says_so(drawn: list[Figure]) -> None:
    pictures.class_f1_picture({"m": [n / 10 for n in range(300)]}, [f"label {n}" for n in range(300)], "F1")
    named = [text for text in texts(drawn[0]) if text.startswith("label")]
    assert sorted(named) == sorted(f"label {n}" for n in range(100))
    assert drawn[0].get_suptitle() == "F1 (100 lowest of 300)"


def test_dots_stand_at_their_task_with_their_interval(drawn: list[Figure]) -> None:
    scores = {
        "m": {"a": {"mean": 50.0, "ci95": 2.0}, "b": {"mean": 70.0, "ci95": 0.0}},
        "n": {"b": {"mean": 60.0, "ci95": 5.0}},
    }
    pictures.accuracy_picture(scores, "t")
    (axes,) = drawn[0].axes
    dots = [bars.lines[0].get_xydata().round().tolist() for bars in axes.containers]
    assert dots == [[[50, 0], [70, 1]], [[60, 1]]]
    whiskers = [bars.lines[2][0].get_segments() for bars in axes.containers]
    assert [[line[:, 0].tolist() for line in of] for of in whiskers] == [[[48, 52], [70, 70]], [[55, 65]]]
    assert {"50.0", "70.0", "60.0"} <= set(texts(drawn[0]))


def test_lines_end_with_their_name_and_keep_their_colour(drawn: list[Figure]) -> None:
    rows = [
        {"step": 10 * epoch, "epoch": epoch, "branch": branch, "task": task, "accuracy": 10.0 * epoch + (branch == "o")}
        for task, branches in (("a", "ot"), ("b", "t"))
        for branch in branches
        for epoch in (2, 1)
    ]
    pictures.history_picture(rows, "t")
    first, second = drawn[0].axes
    assert [line.get_xydata().tolist() for line in first.lines] == [[[1, 11], [2, 21]], [[1, 10], [2, 20]]]
    assert {text.get_text() for text in first.texts} == {"o 21.0", "t 20.0"}
    assert first.lines[1].get_color() == second.lines[0].get_color() != first.lines[0].get_color()
    assert first.get_xlabel() == "epoch"
    pictures.history_picture([{**row, "epoch": None} for row in rows], "t")
    assert drawn[1].axes[0].get_xlabel() == "step"
    assert drawn[1].axes[0].lines[0].get_xdata().tolist() == [10, 20]


def test_windows_are_a_panel_for_each_task_and_metric(drawn: list[Figure]) -> None:
    rows = [
        {"model": "m", "task": "t", "metric": metric, "window_ms": ms, "score": ms / 1000}
        for metric in ("onset", "segment")
        for ms in (500, 50)
    ]
    pictures.window_picture(rows, "t")
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["t: onset", "t: segment"]
    assert drawn[0].axes[0].lines[0].get_xydata().tolist() == [[50, 0.05], [500, 0.5]]


def test_map_names_classes_at_their_median(drawn: list[Figure]) -> None:
    points = [[0, 0], [0, 1], [0, 8], [10, 10], [10, 10], [10, 10]]
    pictures.map_picture(points, [2, 2, 2, 0, 0, 0], ["a", "none", "c"], "t")
    (axes,) = drawn[0].axes
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(places) == {"a", "c"}
    assert places["c"] == pytest.approx((0.4, 0.4 + 0.1 * (pictures.MAP - 0.8)), abs=0.2)
    assert places["a"] == pytest.approx((pictures.MAP - 0.4,) * 2, abs=0.2)
    assert sorted(len(dots.get_offsets()) for dots in axes.collections) == [3, 3]


def test_of_many_classes_the_largest_are_named(drawn: list[Figure]) -> None:
    classes = [n for n in range(70) for _ in range(2 if n < 60 else 1)]
    points = np.random.default_rng(0).normal(size=(len(classes), 2)).tolist()
    pictures.map_picture(points, classes, [str(n) for n in range(70)], "t")
    assert sorted(int(text.get_text()) for text in drawn[0].axes[0].texts) == list(range(60))
    assert drawn[0].get_suptitle() == "t (60 of 70 labels named)"


def test_boxes_are_moved_apart_and_stay_inside() -> None:
    generator = np.random.default_rng(0)
    sizes = np.stack([generator.uniform(0.3, 2.0, 40), np.full(40, 0.2)], axis=1)
    places = generator.normal(5.0, 1.0, (40, 2))
    places[:3] = places[0]
    places[3] = [10.2, -0.5]
    found = apart(places, sizes, 10.0)
    gap = np.abs(found[:, None] - found[None]) - (sizes[:, None] + sizes[None]) / 2
    np.fill_diagonal(gap[:, :, 0], 1.0)
    assert (gap.max(2) > -0.01).all()
    assert (found - sizes / 2 >= 0).all() and (found + sizes / 2 <= 10).all()
    alone = np.array([[2.0, 2.0], [8.0, 8.0]])
    assert apart(alone, sizes[:2], 10.0).tolist() == alone.tolist()


def test_any_name_can_be_drawn_and_the_same_result_is_the_same_file() -> None:
    count = len(HOSTILE)
    measure = {"mean": 50.0, "ci95": 1.0}
    ones = np.eye(count, dtype=int).tolist()
    draws = [
        lambda: pictures.confusion_picture(ones, HOSTILE, HOSTILE[0]),
        lambda: pictures.cka_picture([[1.0]], [[HOSTILE[0]], [HOSTILE[5]]], HOSTILE[:2], HOSTILE[6]),
        lambda: pictures.class_f1_picture({name: [50.0] * count for name in HOSTILE[:3]}, HOSTILE, HOSTILE[2]),
        lambda: pictures.accuracy_picture({name: dict.fromkeys(HOSTILE, measure) for name in HOSTILE}, HOSTILE[5]),
        lambda: pictures.history_picture(
            [{"step": 0, "epoch": 0.0, "branch": name, "task": name, "accuracy": 1.0} for name in HOSTILE], "t"
        ),
        lambda: pictures.map_picture([[0, 0]] * count, range(count), HOSTILE, "t"),
    ]
    for draw in draws:
        assert min(size(draw())) > 100
    assert draws[1]() == draws[1]()


def test_one_line() -> None:
    assert one_line(" a\n\tb\x00\u202e ") == "a b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    assert one_line("\ud800") == "\\ud800"
    assert [one_line("abcdef", n) for n in (5, 6)] == ["abcd…", "abcdef"]


def map_task(count: int = 25) -> tuple[SceneTask, dict[str, np.ndarray]]:
    """Two clouds far apart in 60 dimensions, in two test splits of three."""
    generator = np.random.default_rng(0)
    splits = ("a", "b", "c")
    truth = {split: np.eye(2, dtype=bool)[generator.integers(2, size=count)] for split in splits}
    vectors = {s: generator.normal(size=(count, 60)) + 8.0 * truth[s][:, :1] * np.ones(60) for s in splits}
    files = {split: [Path(f"{n}.wav") for n in range(count)] for split in splits}
    folds = (Fold(("c",), ("b",), ("a",)), Fold(("c",), ("a",), ("b",)))
    return SceneTask("task", ("x", "y"), False, 1.0, files, truth, folds), vectors


def test_a_map_keeps_classes_together_and_is_a_function_of_its_seed() -> None:
    task, vectors = map_task()
    found = embedding_map(task, vectors, "m")
    kept = {key: found[key] for key in ("kind", "model", "task", "method", "labels")}
    assert kept == {"kind": "map", "model": "m", "task": "task", "method": "t-SNE", "labels": ["x", "y"]}
    truth = np.concatenate([task.truth["a"], task.truth["b"]]).argmax(1)
    assert found["classes"] == truth.tolist()
    points = np.array(found["points"])
    assert points.shape == (50, 2)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (truth[distance.argmin(1)] == truth).all()
    assert embedding_map(task, vectors, "m") == found


def test_a_map_of_few_of_many_clips() -> None:
    task, vectors = map_task()
    found = embedding_map(task, vectors, "m", ["c"], clips=10)
    assert len(found["points"]) == len(found["classes"]) == 10
    with pytest.raises(TaskError, match="task: 2 clips; a map needs three or more"):
        embedding_map(task, vectors, "m", clips=2)
    with pytest.raises(TaskError, match="task: has no split 'd'; known are a, b, c"):
        embedding_map(task, vectors, "m", ["d"])
    several = SceneTask("many", task.labels, True, 1.0, task.splits, task.truth, task.folds)
    with pytest.raises(TaskError, match="many: a multilabel task"):
        embedding_map(several, vectors, "m")
