"""Softmax (or logistic) regression with an L2 penalty on frozen scene embeddings: convex, so it needs no seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from training.evaluate.linear import Scores, in_deviations, join_splits, judge, loss_of, measure, scikit_metrics
from training.evaluate.tasks import SceneTask

PENALTIES = (1e-4, 1e-3, 1e-2)  # times the sum of all squared weights, beside the mean loss over clips
ITERATIONS = 120


def regression_probe(task: SceneTask, embedded: Mapping[str, np.ndarray]) -> Scores:
    """Fit to the training and validation splits of each fold and test.

    The penalty is the one of `PENALTIES` that does best on the validation split of the first fold, fitted without it.

    Args:
        embedded: split to `(clips, D)`.

    Returns:
        as `linear_probe`, with one value for each fold.
    """
    metrics = scikit_metrics()
    first = task.folds[0]
    truth = join_splits(task.truth, first.valid).numpy()
    quality = {}
    for penalty in PENALTIES:
        answers = _answers(task, embedded, first.train, first.valid, penalty)
        quality[penalty] = measure(metrics, truth, answers, task.multilabel)["map" if task.multilabel else "accuracy"]
    penalty = max(PENALTIES, key=quality.__getitem__)

    found = [_answers(task, embedded, (*fold.train, *fold.valid), fold.test, penalty) for fold in task.folds]
    return judge(metrics, task, [answers[None] for answers in found], over=1)


def _answers(
    task: SceneTask, embedded: Mapping[str, np.ndarray], train: Sequence[str], test: Sequence[str], penalty: float
) -> np.ndarray:
    """Logits on `test`, `(clips, labels)`, of a layer that is fitted to `train`."""
    x, x_test = in_deviations(join_splits(embedded, train).float(), join_splits(embedded, test).float())
    y = join_splits(task.truth, train).float()
    weight = torch.zeros(x.shape[1], y.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, history_size=8, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        loss = loss_of((x @ weight + bias)[None], y[None], task.multilabel)[0] + penalty * weight.square().sum()
        loss.backward()
        return loss

    solver.step(objective)
    answers: np.ndarray = (x_test @ weight + bias).detach().numpy()
    return answers
