"""A run to a release folder: both encoders in half precision, configuration, golden embeddings, model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from selfie_hear.config import FORMAT_VERSION, ReleaseConfig, from_dict, to_dict
from selfie_hear.embedder import Embedder
from selfie_hear.pretrained import bundled_folder, file_digest
from training import card, checkpoint
from training.config import TrainConfig
from training.embedders import embedder_of
from training.evaluate.report.results import read_result
from training.files import whole_folder
from training.golden import write_golden
from training.objectives import build_objective
from training.run import read_json


class ExportError(ValueError):
    """A run that cannot be exported."""


@dataclass(frozen=True)
class Exported:
    """What a release is, and what storing it in half precision costs."""

    folder: Path
    rounding: dict[str, float]  # branch -> largest relative change of a golden embedding


def export(run: Path, out: Path, licence: str = "CC-BY-4.0", results: Sequence[Path] = ()) -> Exported:
    """Write the release folder `out` from the newest checkpoint of `run`; it appears only when complete.

    Args:
        results: JSON of `python -m training linear --json` and its like, for the model card.

    Raises:
        ExportError: `out` exists, or `run` is not a run with a checkpoint.
        ReportError: `results` are not what linear, regression, knn and hear write.
    """
    if out.exists():
        raise ExportError(f"{out}: exists already; a release is never overwritten, name a new folder")
    state = checkpoint.load_latest(run / "checkpoints")
    if state is None:
        raise ExportError(f"{run}: has no checkpoint to export")
    config = from_dict(TrainConfig, read_json(run / "config.json"), str(run / "config.json"))
    data = read_json(run / "data.json")
    scores = [read_result(path) for path in results]
    objective = build_objective(config, data["clips"])
    objective.load_state_dict(state["objective"])

    with whole_folder(out) as partial:
        exact: dict[str, Embedder] = {}
        for branch, encoder in objective.encoders().items():
            exact[branch] = embedder_of(encoder, config.model)
            save_file(_halve(exact[branch].state_dict()), partial / f"{branch}.safetensors", metadata={"format": "pt"})
        origins = len({row["source"] for row in data["sources"]})
        release = ReleaseConfig(
            format_version=FORMAT_VERSION,
            name=out.name,
            summary=f"{config.objective.upper()} on {data['hours']:.1f} h of open audio, {state['step']} steps",
            licence=licence,
            data=f"{data['hours']:.1f} h, {data['clips']} clips of {origins} open sources",
            model=config.model,
            training={
                **to_dict(config),
                "steps_done": state["step"],
                "crops_seen": state["step"] * config.batch,
                "hours_of_training": round(state["seconds"] / 3600, 2),
                "torch": torch.__version__,
            },
            sha256={f"{branch}.safetensors": file_digest(partial / f"{branch}.safetensors") for branch in exact},
        )
        (partial / "config.json").write_text(json.dumps(to_dict(release), indent=2) + "\n")
        rounding = write_golden(partial, exact)
        sizes = exact["online"].scene_embedding_size, exact["online"].timestamp_embedding_size
        step_ms = 1000 * exact["online"].grid.step / exact["online"].sample_rate
        source = f'name="{out.name}"' if out.parent.resolve() == bundled_folder() else f'"path/to/{out.name}"'
        (partial / "README.md").write_text(card.render(release, source, (*sizes, step_ms), data, rounding, scores))
        for path in partial.iterdir():
            path.chmod(0o644)  # safetensors writes files that only their owner may read
    return Exported(out, rounding)


def _halve(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in half precision; statistics, biases, window and mel matrix as they are."""
    halved = {}
    for name, value in state.items():
        weight = name.startswith("encoder.") and value.ndim > 1
        halved[name] = (value.half() if weight else value).contiguous()
    return halved
