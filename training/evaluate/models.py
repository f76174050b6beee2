"""What is judged: any module that speaks the HEAR API and the model that it loads; releases and baselines too."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from selfie_hear.hub import HUB_PREFIX
from selfie_hear.pretrained import branches_of, file_digest, find_release
from training.evaluate.tasks import TaskError

BASELINES = {"log-mel": "training.evaluate.baselines.log_mel", "untrained": "training.evaluate.baselines.untrained"}
SPEAKS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
MODEL_HAS = ("to", "eval", "state_dict", "sample_rate", "scene_embedding_size")


@dataclass(frozen=True)
class ModelSpec:
    """A HEAR module and what its `load_model` is given, as hear-eval-kit gives it.

    Attributes:
        name: in tables.
        module: to import.
        path: of the weights; "" for none.
        options: further keywords.
    """

    name: str
    module: str
    path: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def find_models(name: str) -> list[ModelSpec]:
    """A baseline, or the branches of a release.

    Args:
        name: log-mel, untrained, a release's name or folder, or `hf-hub:ORG/NAME[@REVISION]`.

    Raises:
        ReleaseError: no such release.
    """
    if name in BASELINES:
        return [ModelSpec(name, BASELINES[name])]
    folder = find_release(name)
    shown = name if name.startswith(HUB_PREFIX) else folder.name  # of a model from the Hub that is a commit
    branches = branches_of(folder)
    return [ModelSpec(f"{shown} {branch}", "selfie_hear", str(folder), {"branch": branch}) for branch in branches]


def parse_module(text: str) -> ModelSpec:
    """A HEAR module as the command line names it: `NAME` or `NAME:{"option": value}`.

    The option `model_file_path` is the path of its weights.

    Raises:
        TaskError: the options are not a JSON object.
    """
    name, colon, options = text.partition(":")
    try:
        values = json.loads(options) if colon else {}
    except ValueError as error:
        raise TaskError(f"--module {text}: expected NAME or NAME:{{JSON object}} ({error})") from error
    if not isinstance(values, dict) or not name:
        raise TaskError(f"--module {text}: expected NAME or NAME:{{JSON object}}")
    return ModelSpec(text, name, str(values.pop("model_file_path", None) or ""), values)


class HearModel:
    """A model of a HEAR module, in eval mode.

    Attributes:
        sample_rate: Hz.
        size: values of a scene embedding.
        digest: of the module's sources, the weights and the options: with it, an embedding can be told from another's.
    """

    def __init__(self, spec: ModelSpec, device: str = "cpu") -> None:
        """
        Raises:
            TaskError: the module cannot be imported, does not speak the HEAR API or has no such options.
            ReleaseError: of our own: see `load_model`.
        """
        self.spec, self.name = spec, spec.name
        self._module = import_hear(spec.module)
        self._model = _load(self._module, spec).to(device).eval()
        self._device = device
        self.sample_rate = int(self._model.sample_rate)
        self.size = int(self._model.scene_embedding_size)
        self.digest = _digest(self._module, spec, self._model)

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Scene embeddings.

        Args:
            clips: float32 `(n, samples)` at `sample_rate`.

        Returns:
            float32 `(n, size)`.

        Raises:
            TaskError: the module returns something else.
        """
        with torch.no_grad():
            found = self._module.get_scene_embeddings(torch.from_numpy(clips).to(self._device), self._model)
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        if shape != (len(clips), self.size):
            raise TaskError(f"{self.name}: scene embeddings of shape {shape}, expected {len(clips), self.size}")
        embeddings: np.ndarray = found.float().cpu().numpy()
        return embeddings


def import_hear(name: str) -> ModuleType:
    """A module, with the functions of the HEAR API.

    Raises:
        TaskError: it cannot be imported, or lacks one.
    """
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a module may raise anything
        why = str(error) or repr(error)
        raise TaskError(f"module {name!r}: cannot be imported ({why}); install it here") from error
    if missing := [function for function in SPEAKS if not callable(getattr(module, function, None))]:
        raise TaskError(f"module {name!r}: does not speak the HEAR API, it has no {', '.join(missing)}")
    return module


def _load(module: ModuleType, spec: ModelSpec) -> Any:
    paths = [spec.path] if spec.path else []
    try:
        inspect.signature(module.load_model).bind(*paths, **spec.options)
    except TypeError as error:
        raise TaskError(f"{spec.name}: its load_model does not take what it is given ({error})") from error
    model = module.load_model(*paths, **spec.options)
    if missing := [name for name in MODEL_HAS if not hasattr(model, name)]:
        raise TaskError(f"module {spec.module!r}: does not speak the HEAR API, its model has no {', '.join(missing)}")
    return model


def _digest(module: ModuleType, spec: ModelSpec, model: Any) -> str:
    """SHA-256, in hexadecimal, of everything that decides the embeddings but the libraries beneath."""
    total = hashlib.sha256(json.dumps([spec.module, dict(spec.options), torch.__version__], sort_keys=True).encode())
    ours = spec.module in BASELINES.values()  # not all of training decides what they give, but the front end does
    packages = ["training.evaluate.baselines", "selfie_hear"] if ours else [spec.module.partition(".")[0]]
    places = [Path(place) for name in packages for place in getattr(importlib.import_module(name), "__path__", ())]
    sources = [path for place in places for path in sorted(place.rglob("*.py"))] or [Path(str(module.__file__))]
    weights = Path(spec.path) if spec.path else None
    if weights and weights.is_dir():
        sources += sorted(path for path in weights.rglob("*") if path.is_file() and not path.name.startswith("."))
    elif weights and weights.is_file():
        sources.append(weights)
    for path in sources:
        total.update(f"{path.name} {file_digest(path)}\n".encode())
    # Of ours, the files say it all; another module may have its weights from anywhere.
    for name, value in {} if ours or spec.module == "selfie_hear" else model.state_dict().items():
        if isinstance(value, torch.Tensor):
            total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
