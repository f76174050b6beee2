"""Releases that are fit to be given away, and all that may be wrong with one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfie_hear import ReleaseError
from selfie_hear.pretrained import DEFAULT, bundled_releases, file_digest
from training.golden import GOLDEN
from training.release import check_release


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the default release, to damage."""
    return Path(shutil.copytree(bundled_releases()[DEFAULT], tmp_path / "copy"))


@pytest.mark.parametrize("name", bundled_releases())
def test_the_bundled_ones_are_fit(name: str) -> None:
    release = check_release(bundled_releases()[name])
    assert release.config.name == name
    assert set(release.files) == {path.name for path in bundled_releases()[name].iterdir()}
    assert release.card == (bundled_releases()[name] / "README.md").read_text()


def test_other_files_are_not_part_of_it(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    assert set(check_release(folder).files) & {"notes.txt", "pytorch_model.bin"} == set()


@pytest.mark.parametrize("name", ["README.md", "config.json", GOLDEN, "target.safetensors"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=f"it has no {name}"):
        check_release(folder)


def test_damaged_weights(folder: Path) -> None:
    content = bytearray((folder / "target.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "target.safetensors").write_bytes(content)
    with pytest.raises(ReleaseError, match=r"target.safetensors: damaged, its SHA-256 is not the one in config.json"):
        check_release(folder)


def test_weights_that_do_not_give_the_golden_embeddings(folder: Path) -> None:
    """Whole, with the right digest, and yet not those that were exported."""
    weights = load_file(folder / "target.safetensors")
    weights["encoder.smoothed.fc2.bias"] += 0.01
    save_file(weights, folder / "target.safetensors")
    edit(folder, sha256={name: file_digest(folder / name) for name in ("online.safetensors", "target.safetensors")})
    with pytest.raises(
        ReleaseError, match=r"target.scene differs by .* from what the weights give here; at most 0.0001"
    ):
        check_release(folder)


@pytest.mark.parametrize("value", [float("nan"), 1e-3])
def test_golden_embeddings_that_are_others(folder: Path, value: float) -> None:
    golden = load_file(folder / GOLDEN)
    golden["online.timestamps.0"][3, 5] += value
    save_file(golden, folder / GOLDEN, {"tolerance": "1e-4"})
    with pytest.raises(ReleaseError, match=r"online.timestamps.0 differs by"):
        check_release(folder)


def test_golden_files_that_are_not(folder: Path) -> None:
    golden = load_file(folder / GOLDEN)
    for tensors, metadata, message in (
        (golden, None, "missing or damaged"),
        ({name: value for name, value in golden.items() if "audio" not in name}, {"tolerance": "1e-4"}, "damaged"),
        ({**golden, "target.scene": torch.zeros(3, 2)}, {"tolerance": "1"}, r"no target.scene of shape \(3, 3584\)"),
    ):
        save_file(tensors, folder / GOLDEN, metadata)
        with pytest.raises(ReleaseError, match=message):
            check_release(folder)
    (folder / GOLDEN).write_bytes(b"{}")
    with pytest.raises(ReleaseError, match="golden.safetensors: missing or damaged"):
        check_release(folder)


def edit(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


@pytest.mark.parametrize("names", [(), ("target.safetensors",), ("online.safetensors", "../evil.safetensors")])
def test_a_list_of_other_weights(folder: Path, names: tuple[str, ...]) -> None:
    edit(folder, sha256=dict.fromkeys(names, "0" * 64))
    with pytest.raises(ReleaseError, match="config.json: lists"):
        check_release(folder)


@pytest.mark.parametrize("licence", ["", "other", "my own"])
def test_a_licence_that_the_hub_does_not_know(folder: Path, licence: str) -> None:
    edit(folder, licence=licence)
    with pytest.raises(ReleaseError, match=f"licence '{licence}' is not known to the Hub; known are apache-2.0"):
        check_release(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("license: cc-by-4.0", "license: mit", "its header says licence 'mit', config.json 'cc-by-4.0'"),
        ("license: cc-by-4.0", "license: [", "its YAML header cannot be read"),
        ("---\nlibrary_name", "library_name", "its header says licence None"),
        ("dataset:", "datum:", "its YAML header cannot be read"),
    ],
)
def test_a_card_that_the_hub_could_not_use(folder: Path, old: str, new: str, message: str) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text().replace(old, new))
    with pytest.raises(ReleaseError, match=message):
        check_release(folder)
    card.write_bytes(b"---\n\xff\n---\n")
    with pytest.raises(ReleaseError, match="cannot be read"):
        check_release(folder)
