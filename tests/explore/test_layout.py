"""The map: where sounds lie, and which are alike."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from selfie_hear.config import MissingExtraError
from selfie_hear.explore import layout
from selfie_hear.explore.layout import directions, nearest, plane
from tests.explore.sounds import embeddings


def naive(values: np.ndarray, count: int) -> list[list[tuple[int, float]]]:
    centred = [row - values.mean(axis=0) for row in values.astype(np.float64)]
    found = []
    for i, one in enumerate(centred):
        cosines = [
            (-float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)), j)
            for j, other in enumerate(centred)
            if j != i
        ]
        found.append([(j, -cosine) for cosine, j in sorted(cosines)[:count]])
    return found


def test_neighbours_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "ROWS", 7)
    values = embeddings(25)
    rows, cosines = nearest(directions(values), 10)
    for row, cosine, expected in zip(rows, cosines, naive(values, 10), strict=True):
        assert row.tolist() == [j for j, _ in expected]
        np.testing.assert_allclose(cosine, [value for _, value in expected], atol=2e-5)


def test_of_equals_the_first_and_never_itself() -> None:
    unit = np.float32([[1, 0], [1, 0], [1, 0], [0, 1]])
    rows, cosines = nearest(unit, 10)
    assert rows.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert cosines[0].tolist() == [1, 1, 0]


def test_directions_have_no_mean_in_common() -> None:
    values = embeddings(9) + 100.0
    unit = directions(values)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(unit, directions(3.0 * values), atol=1e-5)
    assert not directions(np.ones((4, 3))).any()


def test_a_map_keeps_crowds_together_and_is_the_same_again() -> None:
    unit = directions(embeddings(30))
    places = plane(unit)
    assert places.shape == (30, 2)
    np.testing.assert_allclose(np.abs(places).max(), 1.0)
    np.testing.assert_array_equal(places, plane(unit))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 10).tolist() == (np.arange(30) // 10).tolist()
    assert places[:, 0].std() >= places[:, 1].std()


@pytest.mark.parametrize("values", [embeddings(3), np.ones((5, 4)), np.repeat(embeddings(3), 4, axis=0)])
def test_few_and_equal_sounds_have_places(values: np.ndarray) -> None:
    places = plane(directions(values))
    assert np.isfinite(places).all() and np.abs(places).max() <= 1.0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"selfie_hear\[explore\]"):
        plane(directions(embeddings(5)))
