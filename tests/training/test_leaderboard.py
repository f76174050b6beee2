"""The public leaderboard of HEAR 2021 and rows of ours beside it."""

from __future__ import annotations

import math

import pytest

from training.evaluate.hear.leaderboard import LeaderboardError, normalised_mean, read_leaderboard, table_beside
from training.evaluate.hear.tasks import HEAR_TASKS


def naive_means(table: dict[str, dict[str, float]]) -> dict[str, float]:
    """Task by task, with lists only."""
    points: dict[str, list[float]] = {model: [] for model in table}
    for title in {title for row in table.values() for title in row}:
        have = [(model, row[title]) for model, row in table.items() if title in row]
        ranked = sorted(score for _, score in have)
        for model, score in have:
            if ranked[0] != ranked[-1]:
                points[model].append((score - ranked[0]) / (ranked[-1] - ranked[0]))
    return {model: sum(of) / len(of) for model, of in points.items() if of}


def cells(markdown: str) -> list[list[str]]:
    assert markdown.endswith(" |\n")
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown.splitlines()]


def test_leaderboard_as_published() -> None:
    table = read_leaderboard()
    assert len(table) == 29
    assert {title for row in table.values() for title in row} == {task.title for task in HEAR_TASKS}
    assert all(0 <= score <= 1 and round(score, 4) == score for row in table.values() for score in row.values())
    # Of docs/assets/leaderboard.csv, by hand: 0.8049999952, 0.5486593246, 0.4578059733, 0.0, 0.007860300969.
    byol_s = table["Logitech AI SERAB BYOL-S"]
    assert (byol_s["ESC-50"], byol_s["Beehive"], byol_s["VoxLingua107 top 10"]) == (0.805, 0.5487, 0.4578)
    assert (table["CVSSP PANNS"]["DCASE 2016"], byol_s["Maestro 5h"]) == (0.0, 0.0079)
    assert len(byol_s) == 19


def test_a_missing_score_is_absent_and_zero_is_not() -> None:
    table = read_leaderboard()
    assert "Beehive" not in table["wav2vec2"] and len(table["wav2vec2"]) == 18
    assert len(table["Soundsensing YAMNet"]) == 16 and table["Soundsensing YAMNet"]["Maestro 5h"] == 0.0


def test_two_readings_are_apart() -> None:
    read_leaderboard()["wav2vec2"].clear()
    assert len(read_leaderboard()["wav2vec2"]) == 18


def test_normalised_mean_by_hand() -> None:
    table = {"a": {"x": 0.2, "y": 0.5}, "b": {"x": 0.6, "y": 0.9}, "c": {"x": 0.3}}
    assert normalised_mean(table) == pytest.approx({"a": 0.0, "b": 1.0, "c": 0.25})


def test_normalised_mean_of_the_leaderboard_against_a_second_implementation() -> None:
    table = read_leaderboard()
    means = normalised_mean(table)
    assert means == pytest.approx(naive_means(table), abs=1e-12)
    assert len(means) == 29 and max(means, key=lambda model: means[model]) == "GURA Fuse Cat H+w+C"


def test_a_task_that_tells_no_models_apart_is_left_out() -> None:
    assert normalised_mean({"a": {"x": 0.5, "y": 0.1}, "b": {"x": 0.5, "y": 0.2}, "c": {"x": 0.5}}) == {"a": 0, "b": 1}
    assert normalised_mean({"alone": {"x": 0.5}}) == {}
    assert normalised_mean({}) == {}


def test_scale_and_order_of_tasks_do_not_matter() -> None:
    table = {"a": {"x": 0.2, "y": 0.5}, "b": {"x": 0.7, "y": 0.1}, "c": {"y": 0.2, "x": 0.3}}
    stretched = {model: {"y": row["y"], "x": 0.1 + row["x"] / 3} for model, row in reversed(table.items())}
    assert normalised_mean(stretched) == pytest.approx(normalised_mean(table))


def test_ours_beside_the_public_ones() -> None:
    ours = {"mine": {"ESC-50": 0.99, "Beehive": 0.9}, "other": {"ESC-50": 0.1}}
    head, rule, *rows = cells(table_beside(ours))
    assert head == ["model", "Beehive", "ESC-50", "tasks", "normalised mean"] and len(rule) == 5
    assert len(rows) == 31 and all(len(row) == 5 for row in rows)
    assert rows[0] == ["**mine**", "0.900", "0.990", "2", "1.000"]  # the best on both, public ones included
    assert rows[-1] == ["**other**", "–", "0.100", "1", "0.000"]  # noqa: RUF001
    assert [float(row[-1]) for row in rows] == sorted((float(row[-1]) for row in rows), reverse=True)
    two = ["Beehive", "ESC-50"]
    public = {model: {t: row[t] for t in two if t in row} for model, row in read_leaderboard().items()}
    means = naive_means({**ours, **public})
    assert {row[0].strip("*"): row[-1] for row in rows} == {model: f"{mean:.3f}" for model, mean in means.items()}


def test_public_models_without_a_score_on_the_tasks_are_left_out() -> None:
    rows = cells(table_beside({"mine": {"Beehive": 0.5}}))[2:]
    assert len(rows) == 1 + sum("Beehive" in row for row in read_leaderboard().values())
    assert "wav2vec2" not in [row[0] for row in rows]


def test_titles_choose_the_columns_and_what_the_mean_is_over() -> None:
    ours = {"mine": {"ESC-50": 0.99, "Beehive": 0.0}}
    assert cells(table_beside(ours, ["ESC-50"]))[2] == ["**mine**", "0.990", "1", "1.000"]
    head, _, *rows = cells(table_beside(ours, ["ESC-50", "CREMA-D", "ESC-50"]))
    assert head[1:-2] == ["ESC-50", "CREMA-D"]
    assert next(row for row in rows if row[0] == "**mine**")[:4] == ["**mine**", "0.990", "–", "1"]  # noqa: RUF001


def test_all_tasks_in_the_order_of_the_leaderboard() -> None:
    head = cells(table_beside({"mine": {task.title: 0.5 for task in reversed(HEAR_TASKS)}}))[0]
    assert head[1:-2] == [task.title for task in HEAR_TASKS]


def test_a_model_that_cannot_be_placed_comes_last() -> None:
    rows = cells(table_beside({"mine": {"ESC-50": 0.2}, "silent": {}}))[2:]
    assert rows[-1] == ["**silent**", "–", "0", "–"]  # noqa: RUF001


def test_a_name_cannot_break_the_table() -> None:
    assert all(line.replace(r"\|", "").count("|") == 5 for line in table_beside({"a|b": {"ESC-50": 0.5}}).splitlines())


@pytest.mark.parametrize(
    ("ours", "titles", "said"),
    [
        ({"mine": {"ESC50": 0.5}}, (), "task 'ESC50' is not on the leaderboard; its tasks are Beehive, Beijing Opera"),
        ({"mine": {"ESC-50": 0.5}}, ("Esc-50",), "task 'Esc-50' is not"),
        ({"wav2vec2": {"ESC-50": 0.5}}, (), "model 'wav2vec2' is on the leaderboard; give ours another name"),
        ({"mine": {"ESC-50": 85.0}}, (), r"mine on ESC-50: 85 is no fraction in \[0, 1\]"),
        ({"mine": {"ESC-50": math.nan}}, (), "nan is no fraction"),
        ({"mine": {"ESC-50": -0.1}}, (), "-0.1 is no fraction"),
        ({}, (), "no score of ours"),
        ({"mine": {}}, ("ESC-50",), "no score of ours"),
    ],
)
def test_what_does_not_fit_is_refused(ours: dict[str, dict[str, float]], titles: tuple[str, ...], said: str) -> None:
    with pytest.raises(LeaderboardError, match=said):
        table_beside(ours, titles)
