"""What HEAR's tools are told of a module: its digest, its sample rate, or what is wrong with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from training.evaluate.hear.probe import probe

MODULE = """
import torch
def load_model(path="", size=2):
    model = torch.nn.Linear(size, 1)
    model.sample_rate = 16000
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(model.bias, 0.0)
    return model
def get_scene_embeddings(audio, model): pass
def get_timestamp_embeddings(audio, model): pass
"""


def test_a_module_is_known_by_code_options_weights_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")

    def found(code: str = MODULE, path: str = "", **options: Any) -> str:
        (tmp_path / "some_hear_module.py").write_text(code)
        sys.modules.pop("some_hear_module", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second is too short for its time stamp
        about = probe("some_hear_module", path, options)
        assert about["sample_rate"] == 16000
        return str(about["digest"])

    first = found()
    assert found() == first
    others = [found(MODULE + "\n"), found(size=3), found(path=str(weights))]
    weights.write_bytes(b"2")
    others.append(found(path=str(weights)))
    others.append(found(MODULE.replace("constant_(model.bias, 0.0)", "normal_(model.bias)")))
    assert len({first, *others}) == 6


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_package", "cannot be imported .No module named 'no_such_package'"),
        ("def load_model(path=''): pass", "it has no get_scene_embeddings, get_timestamp_embeddings"),
        (MODULE.replace("16000", "16000.0"), "sample_rate is 16000.0, a number of Hz"),
    ],
)
def test_what_is_no_hear_module_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("odd_hear_module", None)
    (tmp_path / "odd_hear_module.py").write_text(code)
    assert re.search(said, probe("odd_hear_module", "", {})["error"])
