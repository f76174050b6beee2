"""Where a recording changes, and what recurs in it."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from selfie_hear.config import MissingExtraError
from selfie_hear.explore.structure import find_structure, novelty


def blocks(*kinds: int, each: int = 30, spread: float = 0.2) -> np.ndarray:
    """Columns `(n, 16)`: runs of `each` of the given kinds."""
    draws = np.random.default_rng(1)
    centres = draws.normal(0.0, 1.0, (9, 16))
    return np.concatenate([centres[kind] + draws.normal(0.0, spread, (each, 16)) for kind in kinds])


def test_novelty_is_within_less_between_by_plain_sums() -> None:
    draws = np.random.default_rng(0)
    similarity = draws.uniform(-1.0, 1.0, (20, 20))
    half = 4
    curve = novelty(similarity, half)
    for t in range(half, 20 - half):
        sums = {True: [0.0, 0.0], False: [0.0, 0.0]}
        for a in range(-half, half):
            for b in range(-half, half):
                weight = np.exp(-0.5 * (((a + 0.5) ** 2 + (b + 0.5) ** 2) / (half / 2) ** 2))
                same = (a < 0) == (b < 0)
                sums[same][0] += weight * similarity[t + a, t + b]
                sums[same][1] += weight
        assert curve[t] == pytest.approx(sums[True][0] / sums[True][1] - sums[False][0] / sums[False][1])


def test_two_opposite_halves_have_the_greatest_novelty() -> None:
    sign = np.repeat([1.0, -1.0], 20)
    curve = novelty(np.outer(sign, sign), 5)
    assert curve.argmax() == 20
    assert curve.max() == pytest.approx(2.0)
    np.testing.assert_allclose(curve[5:15], 0.0, atol=1e-12)
    assert curve[0] == 0.0


def test_parts_that_recur_share_a_group() -> None:
    found = find_structure(blocks(0, 1, 0, 2, 1), 0.5)
    assert found.changes == [30, 60, 90, 120]
    assert found.groups == [0, 1, 0, 2, 1]
    np.testing.assert_allclose(np.diag(found.similarity), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found.similarity, found.similarity.T, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4, 40])
def test_what_never_changes_is_one_part(count: int) -> None:
    found = find_structure(np.ones((count, 6)), 0.04)
    assert (found.changes, found.groups) == ([], [0])
    assert found.novelty.shape == (count,)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"selfie_hear\[explore\]"):
        find_structure(blocks(0, 1), 0.5)


def test_small_differences_make_no_parts() -> None:
    steady = 10.0 + blocks(0, 1, 0)
    assert find_structure(blocks(0, 1, 0), 0.5).groups == [0, 1, 0]
    assert find_structure(steady, 0.5).groups == [0]
