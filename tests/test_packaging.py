"""The wheel: what it holds, and that it embeds a file in an empty folder without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from selfie_hear.pretrained import DEFAULT

NO_NETWORK = "import socket\ndef refuse(*_): raise OSError('no network')\nsocket.socket.connect = refuse\n"


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    copy = out / "source"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "runs", "data"))
    subprocess.run([sys.executable, "-c", build, str(out)], cwd=copy, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_content(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"selfie_hear", next(top for top in tops if top.endswith(".dist-info"))}
    for file in ("config.json", "online.safetensors", "target.safetensors", "golden.safetensors", "README.md"):
        assert f"selfie_hear/weights/{DEFAULT}/{file}" in names
    assert "selfie_hear/py.typed" in names
    assert {f"selfie_hear/explore/{name}" for name in ("page.html", "page.css", "page.js", "timeline.js")} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 40e6


def test_wheel_requires_only_the_core(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
    lines = archive.read(name).decode().splitlines()
    needs = {
        line.split()[1].split(">")[0] for line in lines if line.startswith("Requires-Dist") and "extra" not in line
    }
    assert needs == {"huggingface_hub", "numpy", "rich", "safetensors", "soundfile", "soxr", "torch", "typer"}


def test_wheel_embeds_a_file_in_an_empty_folder(wheel: Path, tmp_path: Path, examples: list[Path]) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "sound.ogg").write_bytes(next(p for p in examples if p.suffix == ".ogg").read_bytes())
    env = {**os.environ, "PYTHONPATH": str(site)}
    code = "import selfie_hear, sys; print(selfie_hear.__file__); from selfie_hear.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "embed", "sound.ogg", "-o", "out.npz"],
        cwd=empty, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(site))
    with np.load(empty / "out.npz") as out:
        assert out["embeddings"].shape == (1, 3584)
