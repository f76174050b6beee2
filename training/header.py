"""The Hub's YAML header of a model card, made by the Hub's own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from selfie_hear.config import ReleaseConfig
from selfie_hear.pretrained import BRANCHES
from training.evaluate.report.published import TITLES

HUB_SOURCE = "hf://datasets/"  # how a manifest names a source that is a data set on the Hub
HUB_COPIES = {"AudioSet": "agkphysics/AudioSet", "FSD50K": "Fhrozen/FSD50k"}  # of the corpora that `manifest` lists
_METHODS = {"linear": "linear layer", "regression": "softmax regression", "knn": "nearest neighbours"}


def header(release: ReleaseConfig, sources: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> str:
    """Licence, library, task, tags, data sets, metrics and the results of this release, without the lines of dashes.

    Args:
        sources: rows with `source`. Of these only the data sets that are on the Hub are named, for it follows a name to
            there: those called `hf://datasets/ORG/NAME`, AudioSet and FSD50K.
        results: of the kinds linear, regression, knn and hear; rows of other models are left out.
    """
    from huggingface_hub import EvalResult, ModelCardData  # only now: it is slow to import

    found = [
        EvalResult(
            task_type="audio-classification",
            dataset_type=task,
            dataset_name=TITLES.get(task, task),
            metric_type=metric,
            metric_value=value,
            metric_name=name,
        )
        for result in results
        for task, metric, value, name in _measured(release.name, result)
    ]
    names = [HUB_COPIES.get(row["source"], row["source"].removeprefix(HUB_SOURCE)) for row in sources]
    on_hub = [row["source"].startswith(HUB_SOURCE) or row["source"] in HUB_COPIES for row in sources]
    values = ModelCardData(
        license=release.licence.lower(),
        library_name="selfie_hear",
        pipeline_tag="feature-extraction",
        tags=["audio", "audio-embedding", "self-supervised", "HEAR", release.training["objective"].upper()],
        datasets=list(dict.fromkeys(name for name, there in zip(names, on_hub, strict=True) if there)) or None,
        metrics=list(dict.fromkeys(result.metric_type for result in found)) or None,
        model_name=release.name if found else None,
        eval_results=found or None,
    )
    return str(values.to_yaml())


def _measured(model: str, result: Mapping[str, Any]) -> Iterator[tuple[str, str, float, str]]:
    """Task, metric, value as the card's tables round it, and what it is, for the rows of this model's encoders."""
    names = {f"{model} {branch}": f"{branch} encoder" for branch in BRANCHES}
    for row in (row for row in result["rows"] if row["model"] in names):
        encoder = names[row["model"]]
        if result["kind"] == "hear":
            if row["score"] is not None:
                shown = f"{row['metric']}, hear-eval-kit (grid {result['grid']}), {encoder}"
                yield row["task"], row["metric"], round(row["score"], 3), shown
        elif result["kind"] == "knn":
            yield row["task"], "accuracy", round(row["accuracy"], 1), f"Accuracy in %, {_METHODS['knn']}, {encoder}"
        else:
            metric, title = ("accuracy", "Accuracy") if "accuracy" in row["metrics"] else ("map", "mAP")
            value, half = (round(row["metrics"][metric][key], 1) for key in ("mean", "ci95"))
            shown = f"{title} in %, {_METHODS[result['kind']]}, {encoder}, 95 % interval ± {half}"
            yield row["task"], metric, value, shown
