"""A run to a release: what it holds, that it loads, and that nothing is half written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from selfie_hear import get_scene_embeddings, load_model
from selfie_hear.pretrained import BRANCHES, ReleaseError, branches_of, read_config
from tests.conftest import noise
from tests.training.runs import tiny
from training.checkpoint import load_latest
from training.corpus.pack import pack
from training.evaluate.models import find_models
from training.evaluate.report.results import ReportError
from training.export import ExportError, export
from training.loop import Trainer, build_objective


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, examples: list[Path]) -> Path:
    """A tiny run of two steps on the example recordings, with a manifest."""
    folder = tmp_path_factory.mktemp("run")
    lines = [f"{path},me/{path.stem[:3]},{'CC0' if 'dog' in path.stem else 'CC BY-SA 4.0 (x)'}" for path in examples]
    (folder / "clips.csv").write_text("path,source_repo,licence\n" + "\n".join(lines) + "\n")
    pack([folder / "clips.csv"], folder / "packed")
    Trainer(tiny(), folder / "packed", folder / "run", torch.device("cpu")).fit(2, lambda *_: None)
    return folder / "run"


def test_release_content(run: Path, tmp_path: Path) -> None:
    done = export(run, tmp_path / "mine", licence="CC-BY-SA-4.0")
    names = {path.name for path in (tmp_path / "mine").iterdir()}
    assert names == {"config.json", "online.safetensors", "target.safetensors", "golden.safetensors", "README.md"}
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (tmp_path / "mine").iterdir())
    config = read_config(tmp_path / "mine")
    assert (config.name, config.licence) == ("mine", "CC-BY-SA-4.0")
    assert config.training["steps_done"] == 2
    assert config.training["crops_seen"] == 16
    assert config.data.endswith("6 clips of 3 open sources")
    assert set(done.rounding) == set(BRANCHES)
    assert all(0 <= change < 1e-2 for change in done.rounding.values())


def test_both_branches_are_those_of_the_checkpoint(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "mine")
    state = load_latest(run / "checkpoints")
    assert state is not None
    objective = build_objective(tiny(), 6)
    objective.load_state_dict(state["objective"])
    clip = noise(9000)[None]
    for branch, encoder in objective.encoders().items():
        released = load_model(str(tmp_path / "mine"), branch=branch)
        stored = load_file(tmp_path / "mine" / f"{branch}.safetensors")
        for name, value in encoder.state_dict().items():
            expected = value.half() if value.ndim > 1 else value
            assert torch.equal(stored[f"encoder.{name}"], expected), name
        released.encoder.load_state_dict(encoder.state_dict())
        exact = get_scene_embeddings(clip, released)
        rounded = get_scene_embeddings(clip, load_model(str(tmp_path / "mine"), branch=branch))
        assert torch.allclose(exact, rounded, atol=1e-2)


def test_the_card_has_a_header_data_and_results(run: Path, tmp_path: Path) -> None:
    measured = {name: {"mean": 91.26, "ci95": 0.5} for name in ("accuracy", "f1", "wap")}
    row = {"model": "mine online", "task": "esc10", "labels": ["a", "b"], "metrics": measured}
    row = {**row, "class_f1": [91.0, 92.0], "confusion": [[9, 1], [1, 9]]}
    scores = {"kind": "linear", "config": {"seeds": 5}, "rows": [row]}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    others = {
        "regression": {"kind": "regression", "config": {}, "rows": [{**row, "model": "theirs"}]},
        "knn": {"kind": "knn", "rows": [{"model": "m|x", "task": name, "accuracy": 51.26, "k": [1]} for name in "ab"]},
        "hear": {
            "kind": "hear", "grid": "fast",
            "rows": [
                {"model": "m", "task": "t", "metric": "onset", "score": 0.4321, "seconds": 1.0},
                {"model": "n", "task": "t", "metric": "error", "score": None, "seconds": 1.0},
            ],
        },
    }  # fmt: skip
    for name, result in others.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    export(run, tmp_path / "mine", results=[tmp_path / f"{name}.json" for name in ("scores", *others)])
    card = (tmp_path / "mine" / "README.md").read_text()
    assert card.startswith("---\n") and card.count("\n---\n") == 1
    said = ModelCard(card).data
    assert (said["license"], said["metrics"], said["model_name"]) == ("cc-by-4.0", ["accuracy"], "mine")
    assert [(row.dataset_type, row.metric_value) for row in said["eval_results"]] == [("esc10", 91.3)]
    table = "| mine online | **91.3 ± 0.5** | **91.3** |"
    assert "over 5 seeds" in card and "over the folds" in card and "grid fast" in card
    for text in ("| theirs | **91.3 ± 0.5** |", "| model | a | b |", r"| m\|x | 51.3 | 51.3 |", "| m | 0.432 | – |"):  # noqa: RUF001
        assert text in card
    for text in (table, "| me/dog | CC0 | 2 |", "| CC BY-SA 4.0 | 4 |", "share-alike"):
        assert text in card
    assert "{" not in card.replace("{'", "").split("## Data")[1]


def test_a_release_is_never_overwritten(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "mine")
    before = (tmp_path / "mine" / "config.json").read_bytes()
    with pytest.raises(ExportError, match="never overwritten"):
        export(run, tmp_path / "mine")
    assert (tmp_path / "mine" / "config.json").read_bytes() == before


def test_a_run_without_checkpoint_and_a_failed_export_leave_nothing(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match="no checkpoint"):
        export(tmp_path / "empty", tmp_path / "mine")
    with pytest.raises(ReportError, match="nowhere.json: missing or not JSON"):
        export(run, tmp_path / "mine", results=[tmp_path / "nowhere.json"])
    score = {"window_ms": 100.0, "metric": "onset", "score": 0.5}
    other = {"kind": "windows", "rows": [{"model": "m", "task": "t", **score}]}
    (tmp_path / "empty" / "windows.json").write_text(json.dumps(other))
    with pytest.raises(ReportError, match="of kind windows; the model card takes linear, regression, knn and hear"):
        export(run, tmp_path / "mine", results=[tmp_path / "empty" / "windows.json"])
    assert {path.name for path in tmp_path.iterdir()} == {"empty"}


def test_the_card_says_what_the_values_are(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "mine")
    assert (
        "any sound at 16000 Hz to 32 values, or to 32 values every 40 ms.\n"
        in (tmp_path / "mine/README.md").read_text()
    )
    timed = shutil.copytree(run, tmp_path / "run")
    config = json.loads((timed / "config.json").read_text())
    config["model"]["scene_pooling"] = "mean_max_moment"
    (timed / "config.json").write_text(json.dumps(config))
    export(timed, tmp_path / "timed")
    card = (tmp_path / "timed" / "README.md").read_text()
    assert "any sound at 16000 Hz to 64 values, or to 32 values every 40 ms.\nThe first 32 of a scene" in card


def test_a_method_without_a_target_network_releases_the_online_encoder_alone(run: Path, tmp_path: Path) -> None:
    config = replace(
        tiny(),
        objective="simclr",
        objective_options={"head_hidden": 32, "head_outputs": 8},
        second_view={"flip_probability": 0.5},
    )
    Trainer(config, run.parent / "packed", tmp_path / "run", torch.device("cpu")).fit(1, lambda *_: None)
    release = tmp_path / "mine"
    done = export(tmp_path / "run", release)
    assert set(done.rounding) == {"online"} == set(branches_of(release))
    assert not (release / "target.safetensors").exists()
    card = (release / "README.md").read_text()
    for text in (
        "SIMCLR on ",
        "- HEAR\n- SIMCLR\n---\n",
        "after Chen et al.: *A simple framework",
        "| of the second view | {'flip_pr",
    ):
        assert text in card
    assert 'branch="target"' not in card and "SELFIE" not in card
    assert [spec.name for spec in find_models(str(release))] == ["mine online"]
    with pytest.raises(ReleaseError, match="mine: has no target encoder; it has online"):
        load_model(release, branch="target")
