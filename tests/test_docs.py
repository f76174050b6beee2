"""The documents: their code does what they say, and what they point to is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


def blocks(language: str, pages: list[Path]) -> list[tuple[str, str | None]]:
    """Code and what it prints, None where a page does not say."""
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            if block[1] == language:
                line = text[: block.start()].count("\n") + 1
                found.append(pytest.param(block[2], block[3], id=f"{page.stem}:{line}"))
    return found  # type: ignore[return-value]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples, as a checkout has them."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("code", "expected"), blocks("python", PAGES))
@pytest.mark.usefixtures("place")
def test_python_prints_what_is_said(code: str, expected: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "<block>", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert expected is None or said == expected


@pytest.mark.parametrize(("code", "expected"), blocks("bash", sorted((ROOT / "docs/guide").glob("*.md"))))
def test_commands_of_the_guide_run(place: Path, code: str, expected: str | None) -> None:
    script = f"set -eu\nexport PYTHONPATH='{ROOT}'\n{code}"
    done = subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert expected is None or done.stdout == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_pages_point_to_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def test_the_reference_has_every_public_name(tmp_path: Path) -> None:
    """`python -m pdoc`, as docs/README.md says."""
    import pdoc

    pdoc.render.configure(docformat="google")
    pdoc.pdoc("selfie_hear", "selfie_hear.search", "selfie_hear.embeddings_file", output_directory=tmp_path)
    import selfie_hear

    page = (tmp_path / "selfie_hear.html").read_text(encoding="utf-8")
    for name in selfie_hear.__all__:
        assert f'id="{name}"' in page, name
    assert "SoundSearch" in (tmp_path / "selfie_hear/search.html").read_text(encoding="utf-8")
