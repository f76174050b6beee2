"""The public leaderboard of HEAR 2021 (hearbenchmark.com, docs/assets/leaderboard.csv) and our scores beside it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.evaluate.markdown import ABSENT, markdown

Table = Mapping[str, Mapping[str, float]]  # model: title of a task: score as a fraction


class LeaderboardError(ValueError):
    """Scores that cannot stand beside the public ones; the message says which and what is accepted."""


def read_leaderboard() -> dict[str, dict[str, float]]:
    """The 29 public models' scores on the 19 tasks, as fractions to 4 decimals.

    Returns:
        model to task title to score in the task's primary metric; a task without a public score is left out.
    """
    with Path(__file__).with_name("leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return {
            row.pop("model"): {title: float(score) for title, score in row.items() if score}
            for row in csv.DictReader(file)
        }


def normalised_mean(table: Table) -> dict[str, float]:
    """One number for each model, with every task of equal weight whatever the spread of its scores.

    HEAR (Turian et al. 2022) puts the scores of each task on one scale before it averages over tasks. Here a task's
    scores are scaled to [0, 1], from the worst to the best of the models that have one; a model's number is the mean
    over the tasks that it has. So it depends on which models and tasks are in the table.

    Args:
        table: model to task title to score.

    Returns:
        model to mean in [0, 1]. A task on which all models are equal says nothing and is left out; so is a model
        that has no other.
    """
    scores: dict[str, list[float]] = {}
    for row in table.values():
        for title, score in row.items():
            scores.setdefault(title, []).append(score)
    span = {title: (min(of), max(of)) for title, of in scores.items() if min(of) < max(of)}
    means = {}
    for model, row in table.items():
        scaled = [(score - span[t][0]) / (span[t][1] - span[t][0]) for t, score in row.items() if t in span]
        if scaled:
            means[model] = math.fsum(scaled) / len(scaled)
    return means


def table_beside(ours: Table, titles: Sequence[str] = ()) -> str:
    """A Markdown table of our models (bold) and the public ones, best normalised mean first.

    The last column is `normalised_mean` of all rows over the tasks shown, and no others: a model of ours that was run
    on three tasks is compared on these three. The column before says how many of them a row has.

    Args:
        ours: model to task title to score as a fraction in [0, 1].
        titles: the tasks to show, as on the leaderboard; default: those that ours have, in its order.

    Returns:
        lines that end in a newline. Public models without a score on the tasks shown are left out.

    Raises:
        LeaderboardError: no model or task, a title or model's name that does not fit the leaderboard, no fraction.
    """
    public = read_leaderboard()
    known = list(dict.fromkeys(title for row in public.values() for title in row))
    _check(ours, titles, list(public), known)
    shown = list(dict.fromkeys(titles)) or [
        title for title in sorted(known) if any(title in row for row in ours.values())
    ]
    table = {
        model: {title: row[title] for title in shown if title in row}
        for model, row in [*ours.items(), *public.items()]
        if model in ours or any(title in row for title in shown)
    }
    means = normalised_mean(table)
    lines = [["model", *shown, "tasks", "normalised mean"], ["---", *["---:"] * (len(shown) + 2)]]
    for model in sorted(table, key=lambda model: (-means.get(model, -1.0), model)):
        scores = [f"{table[model][title]:.3f}" if title in table[model] else ABSENT for title in shown]
        mean = f"{means[model]:.3f}" if model in means else ABSENT
        lines.append([f"**{model}**" if model in ours else model, *scores, str(len(table[model])), mean])
    return markdown(lines)


def _check(ours: Table, titles: Sequence[str], public: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [
        title for title in [*titles, *(title for row in ours.values() for title in row)] if title not in known
    ]:
        raise LeaderboardError(
            f"task {unknown[0]!r} is not on the leaderboard; its tasks are {', '.join(sorted(known))}"
        )
    if not any(ours.values()):
        raise LeaderboardError("there is no score of ours to put beside the public ones")
    if taken := [model for model in ours if model in public]:
        raise LeaderboardError(f"model {taken[0]!r} is on the leaderboard; give ours another name")
    for model, row in ours.items():
        for title, score in row.items():
            if not 0 <= score <= 1:
                raise LeaderboardError(f"{model} on {title}: {score:g} is no fraction in [0, 1], as on the leaderboard")
