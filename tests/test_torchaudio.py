"""For users of torchaudio: `pytest -m torchaudio` where it imports, which beside a CPU build of PyTorch it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from selfie_hear import Embedder, get_scene_embeddings
from selfie_hear.audio import read_audio
from selfie_hear.config import FrontEndConfig
from selfie_hear.frontend import LogMel
from tests.conftest import noise

pytestmark = pytest.mark.torchaudio


@pytest.mark.parametrize(("window", "n_fft", "n_mels"), [(1024, 1024, 64), (400, 400, 64), (1024, 1024, 32)])
def test_log_mel_is_torchaudios(window: int, n_fft: int, n_mels: int) -> None:
    import torchaudio

    config = FrontEndConfig(n_fft=n_fft, win_length=window, n_mels=n_mels)
    theirs = torchaudio.transforms.MelSpectrogram(
        sample_rate=config.sample_rate, n_fft=n_fft, win_length=window, hop_length=config.hop_length,
        f_min=config.f_min, f_max=config.f_max, n_mels=n_mels, power=2.0, norm="slaney", mel_scale="slaney",
        center=True, pad_mode="constant",
    )  # fmt: skip
    audio = noise(16000)[None]
    ours = LogMel(config)(torch.nn.functional.pad(audio, (window // 2, window // 2)))[:, 0]
    torch.testing.assert_close(ours, (theirs(audio) + config.log_offset).log(), atol=1e-4, rtol=0)


def test_what_torchaudio_loads_goes_straight_in(tmp_path: Path, model: Embedder, examples: list[Path]) -> None:
    import torchaudio

    path = next(path for path in examples if path.suffix == ".flac")
    audio, rate = torchaudio.load(path)  # (channels, samples)
    assert rate == soundfile.info(path).samplerate == model.sample_rate
    ours = torch.from_numpy(read_audio(path, model.sample_rate))[None]
    assert torch.equal(get_scene_embeddings(audio, model), get_scene_embeddings(ours, model))
