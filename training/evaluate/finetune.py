"""Fine-tuning against frozen: the same linear layer, optimiser and epochs, with and without the encoder (Lin 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.embedder import Embedder
from selfie_hear.precision import full_precision
from selfie_hear.pretrained import load_release
from training.evaluate.embeddings import Report, read_clip
from training.evaluate.linear import mean_and_interval
from training.evaluate.tasks import Fold, SceneTask, TaskError

PASS_SECONDS = 30.0  # of audio at once: a GB with what the gradient needs
HELD_BYTES = 2**30  # of clips that are kept in memory; of larger tasks they are read each time


@dataclass(frozen=True)
class FineTuneConfig:
    """Adam with a linear warm-up and early stopping on the validation split, the same for frozen and fine-tuned."""

    epochs: int = 30  # Lin 2022, section 2.2
    patience: int = 6  # epochs without a better validation loss
    batch: int = 32
    learning_rate: float = 1e-3  # of the linear layer
    encoder_learning_rate: float = 1e-4
    warmup_epochs: int = 2
    seeds: int = 3
    folds: int | None = None  # the first few, to save time; None: all

    def __post_init__(self) -> None:
        least = min(self.epochs, self.patience, self.batch, self.seeds, 1 if self.folds is None else self.folds)
        if least < 1 or not self.learning_rate > 0:
            raise TaskError(f"finetune: epochs, patience, batch, rate, seeds and folds must be positive, got {self}")
        if not self.encoder_learning_rate >= 0 or self.warmup_epochs < 0:
            raise TaskError(f"finetune: the encoder's learning rate and the warm-up must be 0 or more, got {self}")


class SceneClassifier(nn.Module):
    """Scene embedding -> fixed standardisation -> linear layer.

    The embedder is in eval mode, also when it learns: BatchNorm keeps the statistics of pre-training (its scale and
    shift learn), as those of small batches of a small task are worse, and nothing is dropped. So the fine-tuned model
    begins as the frozen one, and a batch may be passed through in parts.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, embedder: Embedder, scenes: Tensor, labels: int, generator: torch.Generator) -> None:
        """
        Args:
            scenes: `(n, D)` that the standardisation is measured on. A dimension that hardly varies is not blown up
                to the others' size: a small change of the encoder would move it out of all bounds.
            generator: on the CPU, that the layer is initialised from.
        """
        super().__init__()
        self.embedder = embedder.eval()
        deviation = scenes.std(0, correction=0)
        least = 0.1 * float(deviation.mean())
        self.register_buffer("mean", scenes.mean(0))
        self.register_buffer("scale", 1.0 / deviation.clamp(min=max(least, 1e-12)))
        bound = scenes.shape[1] ** -0.5  # as nn.Linear is initialised
        weight, bias = (
            (torch.rand(n, generator=generator) * 2 - 1) * bound for n in (labels * scenes.shape[1], labels)
        )
        self.weight = nn.Parameter(weight.view(labels, -1).to(scenes.device))
        self.bias = nn.Parameter(bias.to(scenes.device))

    def forward(self, audio: Tensor) -> Tensor:
        """`(B, N)` samples to logits `(B, labels)`."""
        return self.classify(self.embedder(audio))

    def classify(self, scenes: Tensor) -> Tensor:
        """Scene embeddings `(B, D)` to logits `(B, labels)`."""
        return F.linear((scenes - self.mean) * self.scale, self.weight, self.bias)


def fine_tune(
    task: SceneTask,
    folder: Path,
    branch: str,
    config: FineTuneConfig | None = None,
    report: Report = lambda _done, _all: None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Accuracy in % on the test splits, mean over folds, of a frozen and of a fine-tuned encoder.

    Both go through the same seeds, initial layers and orders of clips. On one device with one number of threads the
    result is a function of the config. The frozen one is not that of `linear_probe`, which trains longer.

    Args:
        folder: a release.
        branch: online or target.
        report: called with the number of epochs that are done and of all that there may be.

    Returns:
        `task`, `folds` (how many were used), `all_folds`, and `frozen` and `finetuned`, each with the `mean` over
        seeds and `ci95`, half of its 95 % confidence interval.

    Raises:
        TaskError: a multilabel task, a clip that cannot be read, or a loss that is not finite.
        ReleaseError: see `load_release`.
    """
    config = config or FineTuneConfig()
    if task.multilabel:
        raise TaskError(f"{task.name}: is multilabel; fine-tuning is measured by the accuracy of multiclass tasks")
    bench = _Bench(task, load_release(folder, branch).to(device), config)
    folds = task.folds[: config.folds]
    most = 2 * len(folds) * config.seeds * config.epochs
    found = np.zeros((len(folds), config.seeds, 2))
    for number, (fold, seed, tuned) in enumerate(product(range(len(folds)), range(config.seeds), (0, 1))):
        before = number * config.epochs
        found[fold, seed, tuned] = bench.accuracy(folds[fold], seed, bool(tuned), _beyond(report, before, most))
        report(before + config.epochs, most)
    frozen, finetuned = (mean_and_interval(of_seeds) for of_seeds in found.mean(0).T)
    return {
        "task": task.name,
        "folds": len(folds),
        "all_folds": len(task.folds),
        "frozen": frozen,
        "finetuned": finetuned,
    }


def _beyond(report: Report, before: int, most: int) -> Callable[[int], None]:
    return lambda epoch: report(before + epoch, most)


class _Bench:
    """A task and an encoder; rows are the clips of all splits, one after the other."""

    def __init__(self, task: SceneTask, embedder: Embedder, config: FineTuneConfig) -> None:
        self.embedder, self.config, self.device = embedder, config, embedder.device
        self.name, self.labels = task.name, len(task.labels)
        self.part = max(1, int(PASS_SECONDS / task.seconds))
        self._paths = [path for files in task.splits.values() for path in files]
        self._samples = round(task.seconds * embedder.sample_rate)
        rows = torch.arange(len(self._paths)).split([len(files) for files in task.splits.values()])
        self._rows = dict(zip(task.splits, rows, strict=True))
        self._held: Tensor | None = None
        if 4 * self._samples * len(self._paths) <= HELD_BYTES:
            self._held = self._read(range(len(self._paths)))
        self.truth = torch.from_numpy(np.concatenate(list(task.truth.values())).argmax(1)).to(self.device)
        with torch.no_grad(), full_precision(self.device):
            everything = torch.arange(len(self._paths)).split(self.part)
            self.scenes = torch.cat([self.embedder(self.audio(rows)) for rows in everything])

    def _read(self, rows: Sequence[int]) -> Tensor:
        clips = [read_clip(self._paths[row], self.embedder.sample_rate, self._samples) for row in rows]
        return torch.from_numpy(np.stack(clips))

    def audio(self, rows: Tensor) -> Tensor:
        """`(B, samples)`."""
        return (self._read(rows.tolist()) if self._held is None else self._held[rows]).to(self.device)

    def accuracy(self, fold: Fold, seed: int, tuned: bool, tick: Callable[[int], None]) -> float:
        """In %, on the test splits of a fold, of the epoch that did best on its validation splits.

        Args:
            tick: called with the number of epochs that are done.
        """
        train, valid, test = (torch.cat([self._rows[s] for s in part]) for part in (fold.train, fold.valid, fold.test))
        config, generator = self.config, torch.Generator().manual_seed(seed)
        embedder = deepcopy(self.embedder) if tuned else self.embedder
        model = SceneClassifier(embedder, self.scenes[train], self.labels, generator)
        groups: list[dict[str, Any]] = [{"params": [model.weight, model.bias], "lr": config.learning_rate}]
        if tuned:
            groups.append({"params": list(embedder.parameters()), "lr": config.encoder_learning_rate})
        learning = [parameter for group in groups for parameter in group["params"]]
        optimiser = torch.optim.Adam(groups)
        warm = max(1, config.warmup_epochs * -(-len(train) // config.batch))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / warm))

        def logits(rows: Tensor) -> Tensor:
            return model(self.audio(rows)) if tuned else model.classify(self.scenes[rows])

        best, since, kept = float("inf"), 0, [parameter.detach().clone() for parameter in learning]
        with full_precision(self.device):
            for epoch in range(config.epochs):
                for rows in train[torch.randperm(len(train), generator=generator)].split(config.batch):
                    optimiser.zero_grad()
                    for part in rows.split(self.part):
                        loss = F.cross_entropy(logits(part), self.truth[part], reduction="sum") / len(rows)
                        loss.backward()
                    optimiser.step()
                    schedule.step()
                with torch.no_grad():
                    answers = torch.cat([logits(part) for part in valid.split(self.part)])
                    loss = F.cross_entropy(answers, self.truth[valid])
                if not torch.isfinite(loss):
                    raise TaskError(
                        f"{self.name}: the loss of epoch {epoch + 1} is not a finite number; lower the learning rates "
                        f"({config.learning_rate:g}, of the encoder {config.encoder_learning_rate:g})"
                    )
                if float(loss) < best:
                    best, since = float(loss), 0
                    kept = [parameter.detach().clone() for parameter in learning]
                else:
                    since += 1
                tick(epoch + 1)
                if since >= config.patience:
                    break
            with torch.no_grad():
                for parameter, value in zip(learning, kept, strict=True):
                    parameter.copy_(value)
                answers = torch.cat([logits(part) for part in test.split(self.part)])
        return 100.0 * int((answers.argmax(1) == self.truth[test]).sum()) / len(test)
