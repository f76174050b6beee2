"""The separate Python environment of hear-eval-kit's tools, which cannot live beside a current selfie_hear[train]."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from training.evaluate.hear.tools import HearError, Report, locked, run_tool, silent
from training.files import cache_folder, write_whole

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
TOOLS = ("hearvalidator==2021.0.6", "heareval==2021.1.3")
# What a wheel is made from; the folders without caches of bytecode and hidden files.
WHEEL = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "selfie_hear", "weights")
BEGUN, DONE = ".selfie-hear-begun", ".selfie-hear.json"


@dataclass(frozen=True)
class HearEnvironment:
    """An environment with hear-validator, heareval and selfie_hear.

    Attributes:
        folder: of the environment.
        selfie_hear: digest of what the installed selfie_hear was built from.
    """

    folder: Path
    selfie_hear: str

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def variables(self, path: Path | None = None) -> dict[str, str]:
        """What its programs run with: nothing is imported from the caller's environment, or from where it stands.

        Args:
            path: a folder to import from too.
        """
        ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        kept |= {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
        return kept if path is None else kept | {"PYTHONPATH": str(path)}

    def check_unchanged(self) -> None:
        """
        Raises:
            HearError: another checkout has put its selfie_hear here meanwhile.
        """
        if _read(self.folder / DONE).get("selfie_hear") != self.selfie_hear:
            raise HearError(
                f"{self.folder}: another checkout has installed its selfie_hear here since; run again, or give this "
                "one an environment of its own"
            )


def default_folder() -> Path:
    return cache_folder() / f"hear-{_recipe()[:12]}"


def prepare_environment(folder: Path | None = None, report: Report = silent) -> HearEnvironment:
    """Make the environment unless it is there, and install this checkout's selfie_hear in it unless it is.

    It is used when it is complete: one that was begun and not completed is made again, and two processes do not make
    the same one.

    Args:
        folder: of the environment; a virtual environment made by hand, with the tools, will do. None: in the user's
            cache, by what it holds.

    Raises:
        HearError: the folder holds something else, or pip fails.
    """
    folder = (folder or default_folder()).absolute()
    logs = folder.with_name(f"{folder.name}-logs")
    with locked(logs / "lock", report) as lock:
        if _read(folder / DONE).get("recipe") != _recipe():
            _make_or_adopt(folder, logs, report, lock)
        environment = HearEnvironment(folder, _digest_of_sources())
        marks = _read(folder / DONE)
        if marks.get("selfie_hear") != environment.selfie_hear:
            report("installing the wheel of selfie_hear")
            write_whole(folder / DONE, json.dumps({**marks, "selfie_hear": None}))
            _install_wheel(environment, logs, lock)
            write_whole(folder / DONE, json.dumps({**marks, "selfie_hear": environment.selfie_hear}))
    return environment


def _make_or_adopt(folder: Path, logs: Path, report: Report, lock: int) -> None:
    ours = (folder / BEGUN).is_file()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / "pyvenv.cfg").is_file():
            raise HearError(f"{folder}: neither empty nor a Python environment; give a new folder for the environment")
        _check_tools(folder, logs, lock)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / BEGUN).touch()  # from here on the folder is ours to remove
        _make(folder, logs, report, lock)
    write_whole(folder / DONE, json.dumps({"recipe": _recipe(), "selfie_hear": None}))


def _make(folder: Path, logs: Path, report: Report, lock: int) -> None:
    report(f"{folder}: making the environment of hear-eval-kit's tools, once; 3 GB and some minutes; logs in {logs}")
    started = time.monotonic()
    environ = HearEnvironment(folder, "").variables()
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    steps: tuple[tuple[str, list[str | Path]], ...] = (
        ("venv", [sys.executable, "-m", "venv", folder]),
        ("torch", [*pip, _torch()]),
        ("requirements", [*pip, _torch(), "-r", REQUIREMENTS]),
        ("tools", [*pip, "--no-deps", "--ignore-requires-python", *TOOLS]),
    )
    for name, command in steps:
        report(f"installing {name}")
        run_tool(command, logs / f"{name}.log", environ, f"{folder}: {name}", lock)
    report(f"{folder}: made in {time.monotonic() - started:.0f} s")


def _check_tools(folder: Path, logs: Path, lock: int) -> None:
    code = "\n".join(
        ("from importlib.metadata import version", *(f"assert '{tool}' == '{tool.partition('==')[0]}==' + "
         f"version('{tool.partition('==')[0]}')" for tool in TOOLS), "import pytorch_lightning, tensorflow, torch")
    )  # fmt: skip
    try:
        environ = HearEnvironment(folder, "").variables()
        run_tool([folder / "bin" / "python", "-c", code], logs / "check.log", environ, "checking it", lock)
    except HearError as error:
        raise HearError(
            f"{folder}: a Python environment without {' and '.join(TOOLS)} and what they need; give a new folder, in "
            f"which the environment will be made\n{error}"
        ) from error


def _install_wheel(environment: HearEnvironment, logs: Path, lock: int) -> None:
    python, environ = environment.program("python"), environment.variables()
    with tempfile.TemporaryDirectory() as name:
        # A copy, since setuptools builds in the source folder and packs what an earlier build left there.
        source, wheels = Path(name) / "source", Path(name) / "wheels"
        for path in _sources():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, source / path)
        pip: list[str | Path] = [python, "-m", "pip"]
        build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, source]
        run_tool(build, logs / "wheel.log", environ, "building the wheel of selfie_hear", lock)
        install = [*pip, "install", "--no-deps", "--force-reinstall", *wheels.glob("*.whl")]
        run_tool(install, logs / "install.log", environ, "installing the wheel of selfie_hear", lock)


def _sources() -> list[Path]:
    """Files of the wheel, relative to the checkout."""
    found = [path for name in WHEEL for path in (ROOT / name, *(ROOT / name).rglob("*")) if path.is_file()]
    return sorted(path.relative_to(ROOT) for path in found if "__pycache__" not in path.parts)


def _digest_of_sources() -> str:
    total = hashlib.sha256()
    for path in (path for path in _sources() if path.suffix != ".md"):  # to edit a text is no reason to install again
        total.update(f"{path.as_posix()} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _torch() -> str:
    """The version that this checkout is tested with."""
    found = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None:
        raise HearError(f"{ROOT / 'constraints.txt'}: pins no torch")
    return found.group()


def _recipe() -> str:
    """Digest of what an environment is made from."""
    python = f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256("\n".join((REQUIREMENTS.read_text(), python, _torch(), *TOOLS)).encode()).hexdigest()


def _read(marks: Path) -> dict[str, str | None]:
    try:
        return dict(json.loads(marks.read_text()))
    except (OSError, ValueError):
        return {}  # not ours, or not complete
