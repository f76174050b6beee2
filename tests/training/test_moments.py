"""Mean and standard deviation in parts, against numpy over everything at once."""

from __future__ import annotations

import numpy as np
import pytest

from training.corpus.moments import Moments


def in_parts(rows: np.ndarray, size: int) -> Moments:
    moments = Moments(rows.shape[1])
    for first in range(0, len(rows), size):
        moments.add(rows[first : first + size])
    return moments


def rows_of(n: int = 50, d: int = 6) -> np.ndarray:
    """Float32, of sizes and means that are far apart, with values missing here and there."""
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((n, d)) * 10.0 ** np.arange(d) + 1e5 * np.arange(d)
    rows[generator.random((n, d)) < 0.1] = np.nan
    rows[3, 1], rows[4, 2] = np.inf, -np.inf
    return rows.astype(np.float32)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_they_are_those_of_all_finite_values(size: int) -> None:
    rows = rows_of()
    moments = in_parts(rows, size)
    finite = np.where(np.isfinite(rows), rows, np.nan).astype(np.float64)
    np.testing.assert_allclose(moments.mean, np.nanmean(finite, 0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, np.nanstd(finite, 0), rtol=1e-10)


def test_standardised_values_have_mean_0_and_deviation_1_and_what_is_not_finite_is_0() -> None:
    rows = rows_of()
    found = in_parts(rows, 7).standardise(rows)
    bad = ~np.isfinite(rows)
    assert bad.sum() > 20 and not found[bad].any()
    found[bad] = np.nan
    np.testing.assert_allclose(np.nanmean(found, 0), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(found, 0), 1.0, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e11, 1e-30])
def test_a_dimension_that_never_varies_becomes_0_whatever_the_rounding(value: float) -> None:
    rows = np.full((1000, 1), value, np.float32)
    rows[5] = np.nan
    moments = in_parts(rows, 13)
    assert moments.std.tolist() == [0.0]
    assert not moments.standardise(rows).any()


def test_a_dimension_without_any_finite_value_becomes_0() -> None:
    rows = np.array([[np.nan, 1.0], [np.inf, 3.0], [np.nan, 5.0]])
    moments = in_parts(rows, 2)
    assert (moments.mean[0], moments.std[0]) == (0.0, 0.0)
    assert moments.standardise(rows)[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert moments.mean[1] == 3.0


def test_the_first_parts_of_a_dimension_may_be_missing() -> None:
    rows = np.full((20, 1), np.nan)
    rows[12:, 0] = np.arange(8.0)
    moments = in_parts(rows, 5)
    assert moments.mean[0] == pytest.approx(3.5)
    assert moments.std[0] == pytest.approx(np.arange(8.0).std())


def test_small_deviations_from_a_large_mean_are_kept() -> None:
    rows = np.array([1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3])[:, None]
    assert in_parts(rows, 1).std[0] == pytest.approx(np.sqrt(1.25), rel=1e-9)
