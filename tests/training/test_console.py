"""Progress on a terminal, and none where there is none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from training import console


def test_there_is_a_bar_on_a_terminal_and_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, legacy_windows=False, _environ={"TERM": "xterm"})
    monkeypatch.setattr(console, "console", terminal)
    with console.progress("a [b]model[/b]") as report:
        report(3, 8)
        report(8, 8, "at last")
    said = screen.getvalue()
    assert "at last" in said and "8/8" in said
    assert said.endswith("\x1b[2K")  # the line is cleared


def test_there_is_no_bar_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(console, "console", Console(stderr=True))
    with console.progress("a model") as report:
        report(3, 8)
        report(8, 8, "at last")
    console.say("[b]said[/b] " + "as it is, " * 30)
    assert capsys.readouterr() == ("", "[b]said[/b] " + "as it is, " * 30 + "\n")
