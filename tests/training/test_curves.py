"""The picture of a run: what is in it, and what must not break it."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from selfie_hear.config import MissingExtraError
from training.curves import LABEL_GAP, build_figure, draw_curves, read_series, spread

LINE = {
    "loss": -0.5,
    "align_loss": 1.0,
    "diversity_loss": -1.5,
    "embedding_std": 0.4,
    "effective_rank": 90.0,
    "learning_rate": 1e-4,
    "ema_decay": 0.99,
    "crops_per_second": 2000.0,
    "epoch": 0.5,
    "data_wait": 0.25,
    "peak_memory_mb": 900.0,
}
ALWAYS = [
    "Losses",
    "Embedding spread (0 = all alike)",
    "Effective rank of the embeddings",
    "Learning rate",
    "Speed (crops a second)",
    "Time spent waiting for data (%)",
]


def write(run: Path, lines: list[dict[str, object]]) -> Path:
    run.mkdir(exist_ok=True)
    path = run / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def panels(metrics: Path) -> dict[str, dict[str, np.ndarray]]:
    """Title -> label beside a line -> its points."""
    found = {}
    for axes in build_figure(read_series(metrics), "run").axes:
        lines = sorted(axes.lines, key=lambda line: line.get_ydata()[-1])  # as the labels are
        texts = [text.get_text() for text in axes.texts]
        found[axes.get_title(loc="left")] = {text: line.get_xydata() for text, line in zip(texts, lines, strict=True)}
    return found


def size(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", data[16:24])


def test_a_run_becomes_a_picture_and_always_the_same(tmp_path: Path) -> None:
    metrics = write(tmp_path, [{"step": step, **LINE, "loss": 1 / step} for step in range(1, 50)])
    draw_curves(metrics, tmp_path / "curves.png")
    width, height = size(tmp_path / "curves.png")
    assert 1200 < width < 2000 and 500 < height < 1200
    draw_curves(metrics, tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "curves.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "curves.png", "metrics.jsonl"]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    found = panels(write(tmp_path, [{"step": 10, **LINE}, {"step": 20, **LINE, "loss": -0.75, "data_wait": 0.5}]))
    assert list(found) == ALWAYS
    assert list(found["Losses"]) == ["diversity -1.5", "loss -0.75", "align 1"]
    np.testing.assert_array_equal(found["Losses"]["loss -0.75"], [[10, -0.5], [20, -0.75]])
    np.testing.assert_array_equal(found["Time spent waiting for data (%)"]["50"], [[10, 25], [20, 50]])
    np.testing.assert_array_equal(found["Speed (crops a second)"]["2,000"], [[10, 2000], [20, 2000]])


def test_accuracy_is_drawn_where_there_is_any_at_the_steps_that_have_it(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"step": step, **LINE} for step in range(1, 11)]
    lines[3] |= {"knn_online": 40.0, "knn_target": 50.0}
    lines[7] |= {"knn_online": 60.0, "knn_target": 55.0}
    accuracy = panels(write(tmp_path, lines))["kNN accuracy (%)"]
    assert list(accuracy) == ["target 55", "online 60"]
    np.testing.assert_array_equal(accuracy["online 60"], [[4, 40], [8, 60]])


def test_what_has_a_natural_zero_is_drawn_from_it(tmp_path: Path) -> None:
    lines = [{"step": step, **LINE, "effective_rank": 90 + step, "knn_online": 70 + step} for step in range(5)]
    figure = build_figure(read_series(write(tmp_path, lines)), "run")
    lowest = {axes.get_title(loc="left"): axes.get_ylim()[0] for axes in figure.axes}
    assert lowest.pop("Losses") < -1.5
    assert lowest.pop("kNN accuracy (%)") > 60
    assert set(lowest.values()) == {0}


def test_losses_of_other_objectives_are_drawn_without_being_known(tmp_path: Path) -> None:
    found = panels(write(tmp_path, [{"step": 1, "invariance_loss": 2.0, "loss": 1.0}]))
    assert {title: list(lines) for title, lines in found.items()} == {"Losses": ["loss 1", "invariance 2"]}


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 4, 5, 6])
def test_panels_fill_the_grid_whatever_is_missing(missing: int) -> None:
    keys = ["embedding_std", "effective_rank", "knn_online", "learning_rate", "crops_per_second", "data_wait"]
    series = {key: np.array([[1.0, 2.0], [3.0 + n, 4.0]]) for n, key in enumerate(["loss", *keys[missing:]])}
    figure = build_figure(series, "run")
    spans = [axes.get_subplotspec() for axes in figure.axes]
    cells = [(row, column) for span in spans for row in span.rowspan for column in span.colspan]
    rows, columns = spans[0].get_gridspec().get_geometry()
    assert sorted(cells) == [(row, column) for row in range(rows) for column in range(columns)]
    for axes, span in zip(figure.axes, spans, strict=True):
        assert axes.get_xlabel() == ("step" if rows - 1 in span.rowspan else "")
        assert axes.get_xlim() == figure.axes[0].get_xlim()


def test_values_that_are_no_numbers_and_lines_that_are_not_whole_are_left_out(tmp_path: Path) -> None:
    metrics = write(tmp_path, [{"step": 1, "loss": 1.0, "align_loss": float("nan")}, {"step": 2, "loss": float("inf")}])
    with metrics.open("a") as file:
        file.write('{"loss": 5.0}\n[7]\n3\n{"step": null, "loss": 6.0}\n\n')
        file.write('{"step": 3, "loss": 3.0, "learning_rate": "fast"}\n{"step": 4, "loss": 4.0, "align_l')
    series = read_series(metrics)
    assert list(series) == ["loss"]
    np.testing.assert_array_equal(series["loss"], [[1, 1], [3, 3]])
    draw_curves(metrics, tmp_path / "curves.png")
    size(tmp_path / "curves.png")


def test_thousands_of_lines_become_means_that_keep_the_course(tmp_path: Path) -> None:
    steps = np.arange(1, 20001)
    noise = np.random.default_rng(0).normal(0, 0.3, len(steps))
    figure = build_figure({"loss": np.stack([steps, 5 - steps / 5000 + noise], axis=1)}, "run")
    (line,) = figure.axes[0].lines
    (band,) = figure.axes[0].collections
    x, y = line.get_xydata().T
    assert 100 < len(x) < 1000
    np.testing.assert_allclose(y, 5 - x / 5000, atol=0.15)  # the noise of single steps reaches to 1.2
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() > 5.3 and heights.min() < 0.7


@pytest.mark.parametrize("content", [None, "", '{"step": 1, "lo'])
def test_nothing_to_draw_writes_nothing(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.filterwarnings("error")
def test_values_at_the_edge_are_drawn(tmp_path: Path) -> None:
    """One line only, and all of it 0; a name that matplotlib would read as mathematics, with a byte that is no text."""
    metrics = write(tmp_path / "$\\bad$ \udcff", [{"step": 0, **dict.fromkeys(LINE, 0.0)}])
    draw_curves(metrics, tmp_path / "curves.png")
    size(tmp_path / "curves.png")


@pytest.mark.parametrize("where", ["drawing", "writing", "renaming"])
def test_a_failure_leaves_the_old_picture_and_nothing_else(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = write(tmp_path, [{"step": 1, **LINE}])
    picture = tmp_path / "curves.png"
    picture.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    if where == "drawing":
        monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fail)
    elif where == "writing":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        draw_curves(metrics, picture)
    assert picture.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.jsonl"]


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtraError, match=r"selfie_hear\[train\]"):
        draw_curves(write(tmp_path, [{"step": 1, **LINE}]), tmp_path / "curves.png")


def test_pyplot_with_its_global_state_is_not_loaded(root: Path, tmp_path: Path) -> None:
    metrics = write(tmp_path, [{"step": 1, **LINE}])
    code = (
        "import sys; from pathlib import Path; from training.curves import draw_curves; assert 'matplotlib' not in "
        f"sys.modules; draw_curves(Path({str(metrics)!r}), Path({str(tmp_path / 'curves.png')!r})); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=root, check=True)


@pytest.mark.parametrize("places", [[0.5], [0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.97, 0.98, 0.99, 1.0], [0.0, 0.01]])
def test_labels_do_not_overlap_and_stay_where_there_is_room(places: list[float]) -> None:
    moved = spread(list(places))
    assert all(gap > LABEL_GAP - 1e-9 for gap in np.diff(moved))
    assert max(moved) <= 1.0
    if len(places) < 2 or min(np.diff(places)) > LABEL_GAP:
        assert moved == places
