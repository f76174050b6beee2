"""The YAML header of cards: what it says of a release's own results, and that of the bundled ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from selfie_hear.pretrained import DEFAULT, bundled_releases, read_config
from training.header import header

RELEASES = bundled_releases()
KINDS = {"linear layer": "linear", "softmax regression": "regression", "nearest": "knn", "hear-eval-kit": "hear"}


def results_of(card: str) -> list[dict[str, Any]]:
    """The result files, as far as the tables of a card tell."""
    results = []
    for table, below in re.findall(r"((?:^\|.*\n)+)\n?(.*)", card.split("## Results")[1].split("## Training")[0], re.M):
        kind = next(kind for words, kind in KINDS.items() if words in below)
        lines = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in table.splitlines()]
        rows: list[dict[str, Any]] = []
        for model, *cells in lines[2:]:
            for task, cell in zip(lines[0][1:], cells, strict=True):
                mean, _, half = cell.partition(" ± ")
                name, _, metric = task.partition(": ")
                if kind == "hear":
                    rows.append({"model": model, "task": name, "metric": metric, "score": float(mean)})
                elif kind == "knn":
                    rows.append({"model": model, "task": task, "accuracy": float(mean)})
                elif task != "mean":
                    measured = {"accuracy": {"mean": float(mean), "ci95": float(half)}}
                    rows.append({"model": model, "task": task, "metrics": measured})
        results.append({"kind": kind, "rows": rows, "grid": "default"})
    return results


@pytest.mark.parametrize("name", RELEASES)
def test_the_bundled_cards_say_what_their_tables_say(name: str) -> None:
    card = (RELEASES[name] / "README.md").read_text()
    sources = [
        {"source": line.split("|")[1].strip()} for line in card.split("Every source:")[1].splitlines() if "|" in line
    ]
    assert len(sources) > 40
    assert card.startswith(f"---\n{header(read_config(RELEASES[name]), sources, results_of(card))}\n---\n\n# {name}\n")


def test_the_default_by_hand() -> None:
    """As the Hub's client reads it."""
    data = ModelCard.load(RELEASES[DEFAULT] / "README.md").data
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "cc-by-4.0", "selfie_hear", "feature-extraction",
    )  # fmt: skip
    assert data["tags"] == ["audio", "audio-embedding", "self-supervised", "HEAR", "SELFIE"]
    assert data["metrics"] == ["accuracy", "event_onset_200ms_fms", "segment_1s_er"]
    assert data["model_name"] == DEFAULT
    found = {(row.dataset_type, row.metric_name): row.metric_value for row in data["eval_results"]}
    assert len(found) == len(data["eval_results"]) == 2 * 3 + 2 * 3 + 2
    assert found["esc10", "Accuracy in %, softmax regression, online encoder, 95 % interval ± 3.0"] == 91.8
    assert found["spoken_digits", "Accuracy in %, nearest neighbours, target encoder"] == 63.0
    assert found["event_mix", "segment_1s_er, hear-eval-kit (grid default), online encoder"] == 0.585


def parsed(*results: dict[str, Any], sources: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    release = replace(read_config(RELEASES[DEFAULT]), **changes)
    values: dict[str, Any] = yaml.safe_load(header(release, [{"source": source} for source in sources], results))
    return values


def test_without_results_and_data_sets_on_the_hub_nothing_is_said_of_them() -> None:
    assert set(parsed(sources=("", "LMMS/lmms"))) == {"license", "library_name", "pipeline_tag", "tags"}


def test_data_sets_on_the_hub() -> None:
    named = ("hf://datasets/me/sounds", "LMMS/lmms", "AudioSet", "hf://datasets/me/sounds")
    assert parsed(sources=named)["datasets"] == ["me/sounds", "agkphysics/AudioSet"]


def test_results_of_others_and_scores_that_are_absent_are_left_out() -> None:
    score = {"task": "t", "metric": "f", "seconds": 1.0}
    rows = [{**score, "model": "mine online", "score": None}, {**score, "model": "theirs online", "score": 0.5}]
    assert "model-index" not in parsed({"kind": "hear", "grid": "fast", "rows": rows}, name="mine")
    several = {"map": {"mean": 41.26, "ci95": 0.04}}
    linear = {"kind": "linear", "rows": [{"model": "mine target", "task": "esc50", "metrics": several}]}
    (model,) = parsed(linear, name="mine", licence="CC0-1.0")["model-index"]
    assert model == {
        "name": "mine",
        "results": [
            {
                "task": {"type": "audio-classification"},
                "dataset": {"type": "esc50", "name": "ESC-50"},
                "metrics": [
                    {
                        "type": "map",
                        "value": 41.3,
                        "name": "mAP in %, linear layer, target encoder, 95 % interval ± 0.0",
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize("name", ["no: yes", "#1", "Ж\U0001f50a", "'\""])
def test_odd_names_stay_names(name: str, tmp_path: Path) -> None:
    row = {"model": f"{name} online", "task": name, "accuracy": 1.0}
    values = parsed({"kind": "knn", "rows": [row]}, name=name, sources=(f"hf://datasets/{name}",))
    assert values["datasets"] == [name]
    assert values["model-index"][0]["name"] == name
    assert values["model-index"][0]["results"][0]["dataset"] == {"type": name, "name": name}
