"""The environment of HEAR's tools: its folder, its recipe and what its programs may import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.processes import ROOT
from training.evaluate.hear import environment as hear_environment
from training.evaluate.hear.environment import HearEnvironment, prepare_environment
from training.evaluate.hear.tools import HearError

NOWHERE = HearEnvironment(Path("/nowhere"), "")


def test_a_folder_of_something_else_is_not_taken_for_an_environment(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("ten years")
    with pytest.raises(HearError, match="papers: neither empty nor a Python environment"):
        prepare_environment(tmp_path / "papers")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    with pytest.raises(HearError, match=r"other: a Python environment without hearvalidator==2021\.0\.6 and"):
        prepare_environment(tmp_path / "other")
    assert (tmp_path / "papers" / "thesis.txt").is_file() and (tmp_path / "other" / "pyvenv.cfg").is_file()


def test_the_environment_follows_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = hear_environment.default_folder()
    assert first.parent == tmp_path / "selfie_hear" and first == hear_environment.default_folder()
    changed = tmp_path / "requirements.txt"
    changed.write_text(hear_environment.REQUIREMENTS.read_text() + "more\n")
    monkeypatch.setattr(hear_environment, "REQUIREMENTS", changed)
    assert hear_environment.default_folder() != first


def test_its_programs_import_nothing_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "PYTHONPATH" not in NOWHERE.variables()
    assert NOWHERE.variables(Path("/some"))["PYTHONPATH"] == "/some"


def test_requirements_cover_those_of_the_wheel() -> None:
    """It is installed without its dependencies."""
    listed = hear_environment.REQUIREMENTS.read_text().split()
    text = (ROOT / "setup.cfg").read_text().partition("install_requires =\n")[2].partition("\n\n")[0]
    needed = {line.partition(">=")[0].strip() for line in text.splitlines()}
    assert needed - set(listed) == {"torch"}


def test_an_environment_that_another_checkout_took_over_is_noticed(tmp_path: Path) -> None:
    (tmp_path / hear_environment.DONE).write_text(json.dumps({"recipe": "1", "selfie_hear": "ours"}))
    HearEnvironment(tmp_path, "ours").check_unchanged()
    with pytest.raises(HearError, match="another checkout has installed its selfie_hear here since"):
        HearEnvironment(tmp_path, "other").check_unchanged()
