"""Linear probe: frozen scene embeddings, standardised on the training folds, L2 softmax regression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import numpy as np
import torch

from selfie_hear import get_scene_embeddings, load_model
from selfie_hear.audio import read_audio
from selfie_hear.config import MissingExtraError, ModelConfig
from selfie_hear.embedder import Embedder
from selfie_hear.frontend import LogMel
from selfie_hear.pretrained import find_release
from training.evaluate.tasks import SceneTask

PENALTIES = (1e-4, 1e-3, 1e-2)  # on the squared weights, beside the mean cross entropy

BASELINES = ("log-mel", "untrained")

Embed = Callable[[torch.Tensor], np.ndarray]


def get_embedder(model: str, branch: str, task: SceneTask, seed: int = 0) -> Embed:
    """A function from `(N,)` samples at 16 kHz to an embedding.

    Args:
        model: a release (name, folder or hf-hub:...), or a baseline: `log-mel` (mean and standard deviation over
            time of each band) or `untrained` (the default encoder as initialised from `seed`, with the normalisation
            statistics of the task's own audio: without them it is a weaker baseline than it need be).
    """
    if model == "log-mel":
        front_end = LogMel(ModelConfig().front_end)
        half = front_end.config.win_length // 2

        def log_mel(audio: torch.Tensor) -> np.ndarray:
            bands = front_end(torch.nn.functional.pad(audio, (half, half))[None])[0, 0]
            return torch.cat([bands.mean(1), bands.std(1, correction=0)]).numpy()

        return log_mel
    if model == "untrained":
        torch.manual_seed(seed)
        embedder = _gather_statistics(Embedder(ModelConfig()), task)
    else:
        embedder = load_model(str(find_release(model)), branch=branch)
    return lambda audio: get_scene_embeddings([audio], embedder)[0].numpy()


@torch.no_grad()
def _gather_statistics(embedder: Embedder, task: SceneTask) -> Embedder:
    """Set the statistics of every BatchNorm to those of a second from each of up to 256 clips; no label is used."""
    paths = [path for clips in task.splits.values() for path, _ in clips]
    rate = embedder.sample_rate
    audio = torch.zeros(min(256, len(paths)), rate)
    for row, path in enumerate(paths[:: max(1, len(paths) // 256)][: len(audio)]):
        start = torch.from_numpy(read_audio(path, rate)[:rate])
        audio[row, : len(start)] = start
    for module in embedder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average of all batches
    embedder.train()
    for batch in audio.split(32):
        embedder(batch)
    return embedder.eval()


def embed_task(task: SceneTask, embed: Embed, sample_rate: int = 16000) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Embeddings `(n, D)` and labels `(n,)` of each split."""
    return {
        split: (
            np.stack([embed(torch.from_numpy(read_audio(path, sample_rate))) for path, _ in clips]),
            np.array([label for _, label in clips]),
        )
        for split, clips in task.splits.items()
    }


def probe(task: SceneTask, embedded: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Mean accuracy over the folds in %, and its standard deviation; the penalty is chosen on the first validation."""
    train, valid, _ = task.folds[0]
    scores = {penalty: _accuracy(_join(embedded, train), _join(embedded, valid), penalty) for penalty in PENALTIES}
    best = max(scores, key=lambda penalty: scores[penalty])
    folds = [_accuracy(_join(embedded, tr + va), _join(embedded, te), best) for tr, va, te in task.folds]
    return 100 * float(np.mean(folds)), 100 * float(np.std(folds))


def _scikit_learn() -> tuple[ModuleType, ModuleType, ModuleType]:
    try:
        from sklearn import linear_model, pipeline, preprocessing
    except ImportError as error:
        raise MissingExtraError("the linear probe needs scikit-learn: pip install 'selfie_hear[train]'") from error
    return linear_model, pipeline, preprocessing


def _join(embedded: dict[str, tuple[np.ndarray, np.ndarray]], splits: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    parts = [embedded[split] for split in splits]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _accuracy(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], penalty: float) -> float:
    linear_model, pipeline, preprocessing = _scikit_learn()
    # scikit-learn weighs the summed cross entropy by C against half the squared weights.
    regression = linear_model.LogisticRegression(C=1.0 / (2.0 * penalty * len(train[1])), max_iter=1000)
    return float(pipeline.make_pipeline(preprocessing.StandardScaler(), regression).fit(*train).score(*test))


def evaluate(model: str, branch: str, tasks: Sequence[SceneTask], seed: int = 0) -> dict[str, float]:
    """Accuracy in % on each task, and their `mean`."""
    _scikit_learn()  # missing, it should be missed before the work, not after
    scores = {task.name: probe(task, embed_task(task, get_embedder(model, branch, task, seed)))[0] for task in tasks}
    return {**scores, "mean": float(np.mean(list(scores.values())))}
