"""The linear protocol of SELFIE (section 3, after BYOL-A): a linear layer on frozen, standardised scene embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from selfie_hear.config import MissingExtraError
from training.evaluate.tasks import Fold, SceneTask, TaskError

# Standard deviations. A unit that is all but silent in training can be a million of them away elsewhere, and would
# drown all others; nothing that lies within changes.
FARTHEST = 10.0


@dataclass(frozen=True)
class LinearConfig:
    """Adam, early stopping on the validation split; P0 gives epochs, patience and seeds."""

    epochs: int = 200
    patience: int = 20  # epochs without a better validation score
    batch: int = 128
    learning_rate: float = 1e-3
    seeds: int = 5

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.batch, self.seeds) < 1 or not self.learning_rate > 0:
            raise TaskError(f"linear: epochs, patience, batch, learning rate and seeds must be positive, got {self}")


@dataclass(frozen=True)
class Scores:
    """What a linear layer made of a task.

    Attributes:
        metrics: name to values in %, whose mean counts: one for each seed, the mean over the folds, or, of a probe
            without seeds, one for each fold.
        scores: logits on the test splits, `(seeds, clips, labels)`.
        truth: `(clips, labels)` bool, of the same clips.
    """

    metrics: dict[str, np.ndarray]
    scores: np.ndarray
    truth: np.ndarray
    multilabel: bool

    def summary(self) -> dict[str, dict[str, float]]:
        """Metric to mean and half the 95 % confidence interval of the mean over seeds or folds (Student's t)."""
        return {name: mean_and_interval(values) for name, values in self.metrics.items()}

    def confusion(self) -> list[list[int]]:
        """Test clips by their label (rows) and the answer of the first seed (columns), of a multiclass task."""
        count = self.truth.shape[1]
        pairs = self.truth.argmax(1) * count + self.scores[0].argmax(1)
        table: list[list[int]] = np.bincount(pairs, minlength=count**2).reshape(count, count).tolist()
        return table

    def class_f1(self) -> list[float]:
        """F1 of each label in %, of the first seed's answers on the test clips of all folds."""
        found = _label_f1(scikit_metrics(), self.truth, self.scores[0], self.multilabel)
        return [100.0 * float(value) for value in found]


def mean_and_interval(values: np.ndarray) -> dict[str, float]:
    """`mean`, and `ci95`: half the width of its 95 % confidence interval; of one value, 0."""
    from scipy.stats import t  # type: ignore[import-untyped]  # scikit-learn brings it

    count = len(values)
    spread = float(values.std(ddof=1)) / count**0.5 * float(t.ppf(0.975, count - 1)) if count > 1 else 0.0
    return {"mean": float(values.mean()), "ci95": spread}


def linear_probe(task: SceneTask, embedded: Mapping[str, np.ndarray], config: LinearConfig | None = None) -> Scores:
    """Train and test on each fold, with all seeds at once.

    Args:
        embedded: split to `(clips, D)`.

    Returns:
        `accuracy` (of a multiclass task; its folds weigh the same), `f1` (macro) and `wap`, the average precision
        weighted by how frequent a label is; of a multilabel task `map`, the plain mean average precision, too.
    """
    config = config or LinearConfig()
    metrics = scikit_metrics()
    return judge(metrics, task, [_fold(task, embedded, fold, config) for fold in task.folds], over=0)


def judge(metrics: Any, task: SceneTask, found: Sequence[np.ndarray], over: int) -> Scores:
    """Scores of the logits on the test splits of each fold.

    Args:
        metrics: scikit-learn's.
        found: one `(seeds, clips, labels)` for each fold.
        over: what is averaged, so that a value is left for each of the other: 0 the folds, 1 the seeds.
    """
    truths = [np.concatenate([task.truth[split] for split in fold.test]) for fold in task.folds]
    per_fold = [
        [measure(metrics, truth, scores, task.multilabel) for scores in of_seeds]
        for truth, of_seeds in zip(truths, found, strict=True)
    ]
    names = per_fold[0][0]
    values = {name: 100.0 * np.array([[seed[name] for seed in fold] for fold in per_fold]).mean(over) for name in names}
    return Scores(values, np.concatenate(found, axis=1), np.concatenate(truths), task.multilabel)


def scikit_metrics() -> ModuleType:
    """scikit-learn's metrics.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise MissingExtraError("judging embeddings needs scikit-learn: pip install 'selfie_hear[train]'") from error
    return cast(ModuleType, metrics)


def measure(metrics: Any, truth: np.ndarray, scores: np.ndarray, multilabel: bool) -> dict[str, float]:
    """Quality of the logits `(clips, labels)` of one layer, from 0 to 1; see `linear_probe`."""
    there = truth.any(0)  # a label that no test clip has can be neither found nor missed
    # Label by label: of a single one, scikit-learn would take the mean with that of its absence.
    precisions = [metrics.average_precision_score(truth[:, n], scores[:, n]) for n in np.flatnonzero(there)]
    weighted = float(np.average(precisions, weights=truth.sum(0)[there]))
    f1 = float(_label_f1(metrics, truth, scores, multilabel)[there].mean())
    if multilabel:
        return {"map": float(np.mean(precisions)), "f1": f1, "wap": weighted}
    return {"accuracy": float((scores.argmax(1) == truth.argmax(1)).mean()), "f1": f1, "wap": weighted}


def _label_f1(metrics: Any, truth: np.ndarray, scores: np.ndarray, multilabel: bool) -> np.ndarray:
    answer = scores > 0 if multilabel else np.eye(truth.shape[1], dtype=bool)[scores.argmax(1)]
    found: np.ndarray = metrics.f1_score(truth, answer, average=None, zero_division=0.0)
    return found


def join_splits(parts: Mapping[str, np.ndarray], splits: Sequence[str]) -> Tensor:
    """The rows of some splits, one after the other."""
    return torch.from_numpy(np.concatenate([parts[split] for split in splits]))


def in_deviations(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Rows `(n, D)` in standard deviations of those of `train` from their mean, at most `FARTHEST`."""
    mean, deviation = train.mean(0), train.std(0, correction=0)
    constant = deviation <= 1e-7 * (mean.abs() + 1e-30)  # rounding can give equal values a deviation
    scale = torch.where(constant, 0.0, 1.0 / deviation.clamp(min=1e-30))
    return [((part - mean) * scale).clamp(-FARTHEST, FARTHEST) for part in (train, *others)]


def _fold(task: SceneTask, embedded: Mapping[str, np.ndarray], fold: Fold, config: LinearConfig) -> np.ndarray:
    """Logits on the test splits, `(seeds, clips, labels)`."""
    train, valid, test = in_deviations(
        *(join_splits(embedded, splits).float() for splits in (fold.train, fold.valid, fold.test))
    )
    y_train, y_valid = (join_splits(task.truth, splits).float() for splits in (fold.train, fold.valid))
    layers = _train(train, y_train, valid, y_valid, task.multilabel, config)
    return (torch.einsum("nd,sdc->snc", test, layers[0]) + layers[1]).numpy()


def loss_of(logits: Tensor, truth: Tensor, multilabel: bool) -> Tensor:
    """Of each seed, `(S,)`; `logits` and `truth` are `(S, n, C)`."""
    if multilabel:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2))
    return -(F.log_softmax(logits, dim=2) * truth).sum(2).mean(1)


def _failure(logits: Tensor, truth: Tensor, multilabel: bool) -> Tensor:
    """What early stopping goes by, `(S,)`: of a multiclass task wrong answers, and the loss among equally many.

    The loss alone grows with the confidence of answers that are right already: on speakers that training has not
    heard it is lowest after an epoch or two, long before accuracy is best.
    """
    loss = loss_of(logits, truth, multilabel).double()
    wrong = 0 if multilabel else (logits.argmax(2) != truth.argmax(2)).sum(1)
    return wrong + loss / (1.0 + loss)  # the second is in [0, 1)


def _train(
    x: Tensor, y: Tensor, x_valid: Tensor, y_valid: Tensor, multilabel: bool, config: LinearConfig
) -> tuple[Tensor, Tensor]:
    """Weights `(S, D, C)` and biases `(S, 1, C)` of the epochs at which each seed did best on the validation split."""
    seeds, (count, dim) = config.seeds, x.shape
    generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
    bound = dim**-0.5  # as nn.Linear is initialised
    weight, bias = (
        torch.stack([(torch.rand(*shape, generator=g) * 2 - 1) * bound for g in generators])
        for shape in ((dim, y.shape[1]), (1, y.shape[1]))
    )
    optimiser = torch.optim.Adam([weight.requires_grad_(), bias.requires_grad_()], config.learning_rate, fused=True)
    best = torch.full((seeds,), float("inf"), dtype=torch.float64)
    since = torch.zeros(seeds)
    kept = weight.detach().clone(), bias.detach().clone()
    for _ in range(config.epochs):
        orders = torch.stack([torch.randperm(count, generator=g) for g in generators])
        for rows in orders.split(config.batch, dim=1):
            optimiser.zero_grad()
            loss_of(torch.baddbmm(bias, x[rows], weight), y[rows], multilabel).sum().backward()
            optimiser.step()
        with torch.no_grad():
            logits = torch.einsum("nd,sdc->snc", x_valid, weight) + bias
            failure = _failure(logits, y_valid.expand(seeds, -1, -1), multilabel)
        better = (failure < best) & (since < config.patience)  # one that has stopped waits for the others
        best, since = torch.where(better, failure, best), torch.where(better, 0, since + 1)
        for mine, now in zip(kept, (weight, bias), strict=True):
            mine[better] = now.detach()[better]
        if (since >= config.patience).all():
            break
    return kept
