"""Releases: what loads, what is refused and why; the shipped weights against their golden embeddings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from selfie_hear import Embedder, ReleaseError, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.pretrained import BRANCHES, DEFAULT, bundled_releases, file_digest, read_config
from tests.conftest import noise

RELEASES = bundled_releases()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A copy of the default release, to damage."""
    return Path(shutil.copytree(RELEASES[DEFAULT], tmp_path / "copy"))


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("name", RELEASES)
def test_golden_embeddings(name: str, branch: str) -> None:
    path = RELEASES[name] / "golden.safetensors"
    with safe_open(path, "pt") as file:
        tolerance = float(file.metadata()["tolerance"])
    golden = load_file(path)
    audio = [golden[key].float() / 32768.0 for key in sorted(golden) if key.startswith("audio.")]
    model = load_model(name=name, branch=branch)
    assert torch.allclose(get_scene_embeddings(audio, model), golden[f"{branch}.scene"], atol=tolerance)
    first = get_timestamp_embeddings(audio, model)[0][0]
    assert torch.allclose(first, golden[f"{branch}.timestamps.0"], atol=tolerance)


def test_branches_differ_and_default_is_online(model: Embedder) -> None:
    clip = noise(16000)[None]
    online, target = (get_scene_embeddings(clip, load_model(branch=branch)) for branch in BRANCHES)
    assert torch.equal(get_scene_embeddings(clip, model), online)
    assert not torch.allclose(online, target, atol=1e-3)


@pytest.mark.parametrize("source", ["", DEFAULT, str(RELEASES[DEFAULT]), RELEASES[DEFAULT]])
def test_every_way_to_name_the_default(source: str, model: Embedder) -> None:
    clip = noise(16000)[None]
    assert torch.equal(get_scene_embeddings(clip, load_model(source)), get_scene_embeddings(clip, model))


def test_save_and_load_gives_the_same_embedding(model: Embedder, release: Path) -> None:
    clip = noise(16000)[None]
    other = Embedder(read_config(release).model)
    other.load_state_dict(model.state_dict())
    assert torch.equal(get_scene_embeddings(clip, other), get_scene_embeddings(clip, model))


def test_weights_are_in_half_precision_statistics_are_not() -> None:
    weights = load_file(RELEASES[DEFAULT] / "online.safetensors")
    assert weights["encoder.smoothed.fc2.weight"].dtype == torch.float16
    assert weights["encoder.plain.norm1.running_var"].dtype == torch.float32
    assert weights["front_end.mel"].dtype == torch.float32


def edit_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def reseal(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, folder / "online.safetensors")
    edit_config(folder, sha256={"online.safetensors": file_digest(folder / "online.safetensors")})


def test_wrong_names_say_which_would_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=f"'nonesuch'; bundled models are .*{DEFAULT}"):
        load_model(name="nonesuch")
    with pytest.raises(ReleaseError, match="give one of them"):
        load_model(str(tmp_path), name="nonesuch")
    with pytest.raises(ReleaseError, match="at most 255 bytes"):
        load_model("x" * 300)
    with pytest.raises(ReleaseError, match="branches are online, target"):
        load_model(branch="both")
    with pytest.raises(ReleaseError, match="no such folder; accepted are"):
        load_model(str(tmp_path / "nowhere"))
    with pytest.raises(ReleaseError, match="only goes with a model from the Hub"):
        load_model(revision="main")


def test_pickles_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(ReleaseError, match="pickled weights can run code"):
        load_model(str(tmp_path / "model.pth"))
    with pytest.raises(ReleaseError, match=r"no config.json; it holds pickled weights \(model.pth\)"):
        load_model(str(tmp_path))


def test_a_pickle_under_a_safe_name_is_refused(release: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, release / "online.safetensors")
    edit_config(release, sha256={"online.safetensors": file_digest(release / "online.safetensors")})
    with pytest.raises(ReleaseError, match="cannot be loaded"):
        load_model(str(release))


def test_damage_is_noticed(release: Path) -> None:
    path = release / "online.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match="SHA-256"):
        load_model(str(release))
    load_model(str(release), branch="target")


def test_missing_files_are_named(release: Path) -> None:
    (release / "target.safetensors").unlink()
    with pytest.raises(ReleaseError, match="target.safetensors: missing; the folder has .*online.safetensors"):
        load_model(str(release), branch="target")
    (release / "config.json").unlink()
    with pytest.raises(ReleaseError, match="not a release folder, it has no config.json"):
        load_model(str(release))


def test_a_weight_file_instead_of_its_folder(release: Path) -> None:
    with pytest.raises(ReleaseError, match="is a file; give the release folder"):
        load_model(str(release / "online.safetensors"))


def test_loading_is_strict(release: Path) -> None:
    state = load_file(release / "online.safetensors")
    reseal(release, {key: value for key, value in state.items() if key != "encoder.smoothed.fc1.bias"})
    with pytest.raises(ReleaseError, match=r"Missing key.*encoder\.smoothed\.fc1\.bias"):
        load_model(str(release))
    reseal(release, {**state, "encoder.extra": torch.zeros(1)})
    with pytest.raises(ReleaseError, match=r"Unexpected key.*encoder\.extra"):
        load_model(str(release))
    reseal(release, {**state, "encoder.smoothed.fc1.bias": torch.zeros(3)})
    with pytest.raises(ReleaseError, match="size mismatch"):
        load_model(str(release))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"architectures": ["BertModel"]}', "not the configuration of a selfie_hear release"),
        ('{"format_version": 99}', "release format 99"),
        ('{"format_version": 1, "name": "x"}', "missing key"),
    ],
)
def test_foreign_configurations(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ReleaseError, match=message):
        load_model(str(tmp_path))


def test_unknown_keys_of_a_configuration(release: Path) -> None:
    edit_config(release, colour="red")
    with pytest.raises(ReleaseError, match="unknown key 'colour'; known keys are format_version"):
        load_model(str(release))


def test_an_unreachable_hub_is_a_clear_error(tmp_path: Path) -> None:
    code = "import selfie_hear; selfie_hear.load_model('hf-hub:someone/something@v1')"
    env = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    said = (
        "ReleaseError: hf-hub:someone/something@v1: config.json could not be fetched from the Hub: http://127.0.0.1:9"
    )
    assert said in result.stderr


def test_a_malformed_hub_name() -> None:
    with pytest.raises(ReleaseError, match="hf-hub:not a name: not the name of a repository, which is ORG/NAME"):
        load_model("hf-hub:not a name")
    with pytest.raises(ReleaseError, match="two revisions"):
        load_model("hf-hub:a/b@one", revision="two")
