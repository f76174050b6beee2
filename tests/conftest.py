"""Fixtures that many tests share: a tiny model, the shipped one, the example recordings."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import nn

from selfie_hear import Embedder, load_model
from selfie_hear.cli import main
from selfie_hear.config import EncoderConfig, FrontEndConfig, ModelConfig

pytest.register_assert_rewrite("tests.training")  # the modules beside the tests say as much as tests when they fail

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # each has its part of the cores, and so have its children
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

ROOT = Path(__file__).resolve().parent.parent
RunHere = Callable[..., tuple[int, str]]
Network = TypeVar("Network", bound=nn.Module)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def examples() -> list[Path]:
    return sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".ogg", ".flac"))


@pytest.fixture(scope="session")
def model() -> Embedder:
    """The bundled default."""
    return load_model()


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[RunHere]:
    """The command `selfie-hear` in `tmp_path` and this process: exit code and what it said."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["selfie-hear", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), " ".join(capsys.readouterr().err.split())

    yield call
    signal.signal(signal.SIGTERM, before)


MELS = FrontEndConfig(n_mels=16)
TINY = (
    ModelConfig(MELS, EncoderConfig("audio_ntt", {"channels": 4, "hidden": 24})),
    ModelConfig(
        MELS,
        EncoderConfig("three_path_ntt", {"channels": 4, "hidden": 24, "reach": 40}),
        scene_pooling="mean_max_moment",
    ),
)


def tiny_embedder(model: ModelConfig) -> Embedder:
    """A small untrained model in eval mode, with statistics as training would leave them."""
    torch.manual_seed(0)
    embedder = Embedder(model)
    with torch.no_grad():
        for name, value in embedder.named_buffers():
            if name.endswith("running_mean"):
                value.normal_(-1.0, 1.0)
            if name.endswith("running_var"):
                value.uniform_(0.5, 4.0)
    return embedder.eval()


@pytest.fixture
def tiny() -> Embedder:
    return tiny_embedder(TINY[0])


def grown(network: Network) -> Network:
    """What begins at zero - residual blocks, gates - opened, as training does."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d) and not part.weight.any():
            nn.init.ones_(part.weight)
        if isinstance(part, nn.Conv2d) and not part.weight.any():
            nn.init.normal_(part.weight, std=0.1)
    return network


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    """Noise `(samples,)` with a level that changes, so that no two frames are alike."""
    generator = torch.Generator().manual_seed(seed)
    level = 0.05 + 0.3 * torch.linspace(0, 7, samples).sin().abs()
    return level * torch.randn(samples, generator=generator).clamp(-3, 3) / 3
