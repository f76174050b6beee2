"""The model card of a release: the Hub's YAML header, then what a user must know."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from selfie_hear.config import ReleaseConfig
from training.evaluate.markdown import ABSENT
from training.evaluate.report.results import ReportError
from training.evaluate.report.summary import linear_table, markdown_table
from training.header import header
from training.objectives import OBJECTIVES

_TEMPLATE = """---
{header}
---

# {name}

An audio encoder: any sound at {rate} Hz to {dim} values, or to {frame_dim} values every {step} ms.{order}
{summary}; encoder {encoder}, after {paper}.
Trained from scratch, without labels.

```python
from selfie_hear import load_model, get_scene_embeddings
model = load_model({source}){target}
embeddings = get_scene_embeddings(audio, model)  # (n_sounds, n_samples) in [-1, 1] -> (n_sounds, {dim})
```

## Results

{results}

## Training

`python -m training train {recipe} --data DATA --out RUN && python -m training export RUN -o {name}`

| | |
|---|---|
{training}

Weights are stored in half precision and computed in float32; rounding them moves a golden embedding by at most
{rounding}.
`golden.safetensors` holds three clips and the embeddings that these files must give.

## Data

{data}. Hours by licence, as the sources state it:

| licence | clips | hours |
|---|---|---|
{licences}

Every source:

| source | licence | clips | hours |
|---|---|---|---|
{sources}

## Licence

The weights are released under {licence}; they contain no audio, and the training audio keeps its licences.{obligations}

## Intended use and limits

Similarity search, clustering, tagging and monitoring of sounds, with a small classifier on top; benchmarks of
representations. Trained on little audio: free speech and outdoor recordings are scarce, and the augmentations make the
encoder indifferent to small changes of what they change, such as pitch and tempo. It has not been evaluated for
identifying people, and was not made for that; nor for decisions that affect safety. Sound above {top} Hz is not seen.
"""


_ORDER = """
The first {first} of a scene embedding are the mean plus the maximum over its frames; the others tell the order in time
of some of them (their temporal moment; `load_model(scene_pooling="mean_max")` leaves it out)."""

_TARGET = '  # branch="target" for the moving-average encoder'

_SECOND = """
It was also trained to give openSMILE's features of the audio, whose licence allows research only: see whether it allows
what you want to do with the weights."""

_RECIPROCAL = """
{hours:.1f} h of it are, at least in part, under share-alike or GPL terms. We treat weights as statistics of the audio
and not as an adaptation of it. If your policy sees that otherwise, train the same recipe on the rows of the manifest
that suit you: `pack` takes a CSV file."""


def render(
    release: ReleaseConfig,
    source: str,
    shape: tuple[int, int, float],
    data: dict[str, Any],
    rounding: dict[str, float],
    results: Sequence[dict[str, Any]],
) -> str:
    """The card as Markdown.

    Args:
        source: what to give to `load_model`.
        shape: values per scene and per timestamp embedding, and ms between the latter.
        results: what commands wrote to `--json`, of the kinds linear, regression, knn and hear.
    """
    table = results_table(results)
    front_end, training = release.model.front_end, release.training
    by_licence: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for row in data["sources"]:
        entry = by_licence[row["licence"].split(" (")[0] or "not stated"]
        entry[0] += row["clips"]
        entry[1] += row["hours"]
    reciprocal = sum(row["hours"] for row in data["sources"] if re.search("SA|GPL|GNU", row["licence"]))
    obligations = _RECIPROCAL.format(hours=reciprocal) if reciprocal else ""
    if "targets" in data:
        obligations += _SECOND
    values = {
        "steps": f"{training['steps_done']} of {training['batch']} crops of {training['crop_seconds']} s",
        "crops": training["crops_seen"],
        "time": f"{training['hours_of_training']} h, {training['precision']}, torch {training['torch']}",
        "optimiser": f"Adam, learning rate {training['learning_rate']}, {training['schedule']}, "
        f"{training['warmup_steps']} steps of warm-up",
        "objective": f"{training['objective']} {training['objective_options']}",
        "augmentation": training["augment"],
        **({"of the second view": second} if (second := training.get("second_view")) else {}),
        "seed": training["seed"],
    }
    return _TEMPLATE.format(
        name=release.name,
        paper=OBJECTIVES[training["objective"]].paper,
        target=_TARGET if "target.safetensors" in release.sha256 else "",
        header=header(release, data["sources"], results),
        licence=release.licence,
        summary=release.summary,
        rate=front_end.sample_rate,
        top=int(front_end.f_max),
        encoder=release.model.encoder.name,
        source=source,
        dim=shape[0],
        frame_dim=shape[1],
        step=format(shape[2], "g"),
        order=_ORDER.format(first=shape[1]) if shape[0] > shape[1] else "",
        recipe=training["recipe"],
        results=table,
        training="\n".join(f"| {key} | {value} |" for key, value in values.items()),
        rounding=", ".join(f"{value:.1e} ({branch})" for branch, value in rounding.items())
        + ", relative to its length",
        data=release.data,
        obligations=obligations,
        licences="\n".join(f"| {name} | {n} | {h:.2f} |" for name, (n, h) in sorted(by_licence.items())),
        sources="\n".join(
            f"| {row['source']} | {row['licence']} | {row['clips']} | {row['hours']:.3f} |" for row in data["sources"]
        ),
    )


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown of results of the kinds linear, regression, knn and hear, one table each.

    Raises:
        ReportError: of another kind, or not as its kind is.
    """
    if not results:
        return "None recorded; `python -m training linear` measures them."
    return "\n\n".join(_table(result) for result in results)


def _table(result: dict[str, Any]) -> str:
    kind, config = result["kind"], result.get("config", {})
    if kind in ("linear", "regression"):
        said = {
            "linear": "Accuracy in %, linear layer on frozen scene embeddings, mean and 95 % confidence interval over "
            f"{config.get('seeds', 'several')} seeds of the layer (`python -m training linear`).",
            "regression": "Accuracy in %, L2 softmax regression on frozen scene embeddings, mean and 95 % confidence "
            "interval over the folds of the task (`python -m training regression`).",
        }
        return f"{linear_table([result], published=False, kind=kind)}\n{said[kind]}"
    if kind == "knn":
        return markdown_table(result["rows"], "task", lambda row: f"{row['accuracy']:.1f}") + (
            "\nAccuracy in % of nearest neighbours on frozen scene embeddings (`python -m training knn`)."
        )
    if kind == "hear":
        rows = [{**row, "measure": f"{row['task']}: {row['metric']}"} for row in result["rows"]]
        return markdown_table(
            rows, "measure", lambda row: ABSENT if row["score"] is None else f"{row['score']:.3f}"
        ) + (f"\nScores of hear-eval-kit, grid {result['grid']} (`python -m training hear`).")
    raise ReportError(f"a result of kind {kind}; the model card takes linear, regression, knn and hear")
