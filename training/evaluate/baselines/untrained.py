"""A release's model as it is initialised, with the normalisation statistics of real audio: a strong baseline."""

from __future__ import annotations

from pathlib import Path

import torch

from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.audio import read_audio
from selfie_hear.corpus import find_files
from selfie_hear.pretrained import DEFAULT, find_release, read_config

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]

CLIPS, BATCH = 256, 32


def load_model(model_file_path: str = "", seed: int = 0, release: str = DEFAULT) -> Embedder:
    """The model of a release, initialised from `seed`.

    Args:
        model_file_path: a folder of audio. BatchNorm gets the statistics of a second from each of up to 256 of its
            files; no label is used. Without them the encoder is a weaker baseline than it need be. "": not done.
        seed: of the weights.
        release: its name or folder.

    Raises:
        AudioError: no audio there, or a file that cannot be read.
        ReleaseError: no such release.
    """
    model = read_config(find_release(release)).model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedder = Embedder(model)
    if model_file_path:
        _gather_statistics(embedder, Path(model_file_path))
    return embedder.eval()


@torch.no_grad()
def _gather_statistics(embedder: Embedder, folder: Path) -> None:
    paths = find_files([str(folder)])[0]
    rate = embedder.sample_rate
    chosen = [paths[n * len(paths) // min(CLIPS, len(paths))] for n in range(min(CLIPS, len(paths)))]
    audio = torch.zeros(len(chosen), rate)
    for row, path in enumerate(chosen):
        start = torch.from_numpy(read_audio(path, rate)[:rate])
        audio[row, : len(start)] = start
    for module in embedder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average of all batches
    with torch.random.fork_rng(devices=[]):  # dropout
        embedder.train()
        for batch in audio.split(BATCH):
            embedder(batch)
