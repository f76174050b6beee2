"""Where weights come from: a bundled name, a release folder, or the Hub; safetensors only, digests checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from selfie_hear.config import FORMAT_VERSION, ConfigError, ReleaseConfig, from_dict
from selfie_hear.embedder import Embedder
from selfie_hear.hub import HUB_PREFIX, HubError, discard, download, parse_source

DEFAULT = "selfie3-open10h"
BRANCHES = ("online", "target")
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


class ReleaseError(ValueError):
    """Weights that cannot be found or used; the message says which, why, and what is accepted."""


def bundled_folder() -> Path:
    """The folder of the releases that come with the package: inside it when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "weights" if (package / "weights").is_dir() else package.parent / "weights"


def bundled_releases() -> dict[str, Path]:
    """Name to folder of the releases that come with the package."""
    return {path.parent.name: path.parent for path in sorted(bundled_folder().glob("*/config.json"))}


def find_release(
    source: str = "", *, name: str = DEFAULT, revision: str | None = None, branches: Sequence[str] = BRANCHES
) -> Path:
    """The folder of a release.

    Args:
        source: "" for the bundled release `name`; a bundled name (before a folder of that name); a release folder; or
            `hf-hub:ORG/NAME[@REVISION]`.
        name: of a bundled release.
        revision: branch, tag or commit on the Hub; the same as `@REVISION`.
        branches: whose weights are wanted; of the Hub, no others are fetched.

    Raises:
        ReleaseError: no such name, folder or repository, or not a release; of the Hub also: damaged files.
    """
    if source and name != DEFAULT:
        raise ReleaseError(f"a model ({source}) and the bundled name {name!r} were given; give one of them")
    if source.startswith(HUB_PREFIX):
        return _fetch_release(source, revision, branches)
    if revision is not None:
        raise ReleaseError(f"revision {revision!r} only goes with a model from the Hub ({HUB_PREFIX}ORG/NAME)")
    releases = bundled_releases()
    if not source or source in releases:
        if (source or name) not in releases:
            raise ReleaseError(f"no bundled model is named {name!r}; bundled models are {', '.join(releases)}")
        return releases[source or name]
    path = Path(source)
    if len(os.fsencode(path.name)) > 255:
        raise ReleaseError(f"{source[:40]}...: no such folder; a name has at most 255 bytes")
    if path.suffix.lower() in PICKLES:
        raise ReleaseError(
            f"{source}: pickled weights can run code when they are loaded and are not accepted; "
            "give a release folder (config.json and online.safetensors)"
        )
    if path.is_file():
        raise ReleaseError(f"{source} is a file; give the release folder that holds config.json and *.safetensors")
    if not path.is_dir():
        raise ReleaseError(
            f"{source}: no such folder; accepted are a release folder, a bundled name ({', '.join(releases)}) "
            f"or {HUB_PREFIX}ORG/NAME[@REVISION]"
        )
    return path


def read_config(folder: Path) -> ReleaseConfig:
    """`config.json` of a release folder.

    Raises:
        ReleaseError: missing, not JSON, another format, or not a release of this package.
    """
    path = folder / "config.json"
    if not path.is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in PICKLES)
        hint = f"; it holds pickled weights ({', '.join(pickles)}), which are not accepted" if pickles else ""
        raise ReleaseError(f"{folder}: not a release folder, it has no config.json{hint}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path}: not JSON ({error})") from error
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read ({error.strerror})") from error
    if not isinstance(values, dict) or "format_version" not in values:
        raise ReleaseError(f"{path}: not the configuration of a selfie_hear release (no format_version)")
    if values["format_version"] != FORMAT_VERSION:
        raise ReleaseError(
            f"{path}: release format {values['format_version']!r}, this version of selfie_hear reads {FORMAT_VERSION}"
        )
    try:
        return from_dict(ReleaseConfig, values, str(path))
    except ConfigError as error:
        raise ReleaseError(str(error)) from error


def branches_of(folder: Path) -> list[str]:
    """The encoders that a release has: "online", and "target" where its method keeps a moving average.

    Raises:
        ReleaseError: see `read_config`.
    """
    return [branch for branch in BRANCHES if f"{branch}.safetensors" in read_config(folder).sha256]


def load_release(folder: Path, branch: str = "online") -> Embedder:
    """Build the model of a release folder and load its weights, strictly, in float32 and eval mode.

    Raises:
        ReleaseError: an unknown branch, a missing or damaged file, or weights that do not fit the configuration.
    """
    if branch not in BRANCHES:
        raise ReleaseError(f"branch {branch!r} is unknown; branches are {', '.join(BRANCHES)}")
    config = read_config(folder)
    path = folder / f"{branch}.safetensors"
    if path.name not in config.sha256:
        raise ReleaseError(f"{folder}: has no {branch} encoder; it has {', '.join(branches_of(folder))}")
    if not path.is_file():
        have = sorted(p.name for p in folder.glob("*.safetensors"))
        raise ReleaseError(f"{path}: missing; the folder has {', '.join(have) or 'no safetensors files'}")
    try:
        _check_digest(path, config)
        weights = load_file(path)
        with torch.device("cpu"):
            model = Embedder(config.model).float()  # whatever a program's default device and type are
        model.load_state_dict({key: _widen(value) for key, value in weights.items()}, strict=True)
    except (SafetensorError, ConfigError, RuntimeError, TypeError, OSError) as error:
        raise ReleaseError(f"{path}: cannot be loaded: {error}") from error
    return model.eval()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def _widen(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def _check_digest(path: Path, config: ReleaseConfig) -> None:
    if file_digest(path) != config.sha256[path.name]:
        raise ReleaseError(f"{path}: damaged or not of this release, its SHA-256 is not the one in config.json")


def _fetch_release(source: str, revision: str | None, branches: Sequence[str]) -> Path:
    """A folder of the Hub's cache, named after its commit, with `config.json` and those weights.

    No file name that the repository states is used.
    """
    try:
        repository, wanted = parse_source(source, revision)
        path = download(repository, wanted, "config.json")
        config = read_config(path.parent)
        for name in (f"{branch}.safetensors" for branch in branches):
            if name in config.sha256:
                path = download(repository, path.parent.name, name)
                _check_digest(path, config)
    except HubError as error:
        raise ReleaseError(str(error)) from error
    except ReleaseError as error:
        discard(path)  # the last one is wrong: kept, it would be in the way for ever
        raise ReleaseError(f"{source}: {error}; it was removed from the cache and will be fetched anew") from error
    return path.parent
