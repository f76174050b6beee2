"""The Gradio app of docs/space: what its buttons do. `python -m pytest -m space`, where gradio is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.space


@pytest.fixture(scope="module")
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("space_app", ROOT / "docs/space/app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sounds() -> list[str]:
    return sorted(str(path) for path in (ROOT / "examples").iterdir() if path.suffix != ".md")


def test_alike_draws_every_pair(app: ModuleType, sounds: list[str]) -> None:
    (axes,) = app.alike(sounds).axes
    shown = axes.images[0].get_array()
    assert shown.shape == (6, 6)
    assert [label.get_text() for label in axes.get_yticklabels()] == [Path(sound).stem for sound in sounds]
    others = shown - 2 * (shown.diagonal()[:, None] * [[i == j for j in range(6)] for i in range(6)])
    assert others.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]  # each finds its like


def test_changes_draws_moments_and_how_much_they_change(app: ModuleType, sounds: list[str]) -> None:
    above, below = app.changes(sounds[4]).axes  # 4 s
    assert above.images[0].get_array().shape == (100, 100)
    (line,) = below.lines
    assert line.get_xdata()[[0, -1]].tolist() == pytest.approx([1.015, 3.015])


def test_mistakes_are_explained(app: ModuleType, sounds: list[str], tmp_path: Path) -> None:
    import gradio

    (tmp_path / "text.wav").write_text("no sound")
    for call, text in [
        (lambda: app.alike(None), "Give at least three sounds"),
        (lambda: app.alike(sounds[:2]), "Give at least three sounds"),
        (lambda: app.changes(None), "Give a recording"),
        (lambda: app.changes(sounds[1]), "longer than 2 s"),  # 1.4 s
        (lambda: app.changes(str(tmp_path / "text.wav")), "cannot be read as audio"),
    ]:
        with pytest.raises(gradio.Error) as caught:
            call()
        assert text in str(caught.value)


def test_the_page_is_built(app: ModuleType) -> None:
    assert "Compare" in str(app.build().get_config_file())
