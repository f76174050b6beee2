"""What a HEAR module is, found out where it is installed: run by itself there, with the standard library alone."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

SPEAKS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")


def probe(name: str, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """Its model's "sample_rate" (Hz) and a "digest", SHA-256 in hexadecimal; or an "error", why it cannot be used.

    The digest is of all that decides the embeddings but the libraries beneath: the files of its package, the options,
    the files at `path`, and the weights once they are loaded, wherever they come from.
    """
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return {"error": f"cannot be imported ({error})"}
    if missing := [function for function in SPEAKS if not callable(getattr(module, function, None))]:
        return {"error": f"does not speak the HEAR API, it has no {', '.join(missing)}"}
    model = module.load_model(*([path] if path else []), **options)
    rate = getattr(model, "sample_rate", None)
    if not isinstance(rate, int):
        return {"error": f"its model's sample_rate is {rate!r}, a number of Hz is needed"}
    total = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode())
    packages = [sys.modules.get(top) for top in (name.partition(".")[0], "selfie_hear")]  # on which our baselines stand
    places = [Path(place) for package in packages for place in getattr(package, "__path__", [])]
    places.append(Path(str(module.__file__)))
    for file in _files(places) + _files([Path(path)] if path else []):
        with file.open("rb") as content:
            total.update(f"{file.name} {file.stat().st_size}\n".encode())
            for piece in iter(lambda: content.read(1 << 20), b""):
                total.update(piece)
    _add_weights(total, model)
    return {"sample_rate": rate, "digest": total.hexdigest()}


def _files(places: list[Path]) -> list[Path]:
    found = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    return sorted({file for file in found if file.suffix not in (".pyc", ".md")})


def _add_weights(total: Any, model: Any) -> None:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        total.update(str(torch.__version__).encode())
        for name, value in model.state_dict().items():
            if isinstance(value, torch.Tensor):
                flat = value.detach().cpu().contiguous().reshape(-1)
                total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
                total.update(flat.view(torch.uint8).numpy().tobytes())
    else:
        for value in getattr(model, "variables", ()):  # of TensorFlow
            total.update(value.numpy().tobytes())


if __name__ == "__main__":
    out, name, path, options = sys.argv[1:]
    Path(out).write_text(json.dumps(probe(name, path, json.loads(options))))
