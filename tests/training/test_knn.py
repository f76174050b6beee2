"""k nearest neighbours against a naive second implementation and by hand."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from training.evaluate import neighbours
from training.evaluate.knn import knn_accuracy


def naive(embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, neighbours: int) -> float:
    count, dimensions = embeddings.shape
    rows = [[0.0] * dimensions for _ in range(count)]
    for d in range(dimensions):
        column = [float(value) for value in embeddings[:, d]]
        mean = sum(column) / count
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / count)
        for i in range(count):
            rows[i][d] = (column[i] - mean) / deviation if len(set(column)) > 1 else 0.0
    right = 0
    for i in range(count):
        found = []
        for j in range(count):
            if groups[i] != groups[j]:
                product = sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
                found.append((product / math.hypot(*rows[i]) / math.hypot(*rows[j]), str(labels[j])))
        votes: dict[str, float] = defaultdict(float)
        for similarity, label in sorted(found, reverse=True)[:neighbours]:
            votes[label] += math.exp(similarity / 0.07)
        right += max(votes, key=lambda label: votes[label]) == labels[i]
    return 100 * right / count


def clusters(count: int, seed: int = 0, classes: int = 4, groups: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labelled clouds that overlap, with dimensions of very different size."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    embeddings = generator.normal(size=(classes, 6))[labels] + generator.normal(0, 1.2, (count, 6))
    scales = np.array([1e-3, 1.0, 10.0, 0.1, 5.0, 1e3])
    return embeddings * scales + 7 * scales, labels.astype(str), generator.integers(groups, size=count).astype(str)


def each_its_own(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


@pytest.mark.parametrize("k", [1, 3, 10, 59, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_naive_implementation(seed: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, labels, groups = clusters(60, seed)
    expected = naive(embeddings, labels, groups, k)
    assert 20 < expected < 95
    assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)
    monkeypatch.setattr(neighbours, "BLOCK", 7 * 60)
    monkeypatch.setattr(neighbours, "COLUMNS", 4)
    assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)


def test_agrees_with_the_naive_implementation_on_more_clips_than_numpy_sorts_in_passing() -> None:
    embeddings, labels, groups = clusters(300)
    for k in (1, 10, 100):
        expected = naive(embeddings, labels, groups, k)
        assert knn_accuracy(embeddings, labels, groups, k) == pytest.approx(expected)


def test_a_copy_in_the_same_group_does_not_help() -> None:
    generator = np.random.default_rng(0)
    once = generator.normal(size=(100, 8))
    labels = np.repeat(generator.choice(["a", "b"], 100), 2)
    copies = np.repeat(once, 2, axis=0)
    assert knn_accuracy(copies, labels, each_its_own(200), 1) == 100.0
    assert knn_accuracy(copies, labels, np.repeat(each_its_own(100), 2), 1) < 70.0


def test_neighbours_are_of_other_groups_by_hand() -> None:
    """On a line each; a clip alone would choose the one beside it, which has its label but its group too."""
    embeddings = np.array([[1.0, 0.0], [1.0, 0.1], [0.9, -0.3], [-1.0, 0.0], [-1.0, 0.1], [-0.9, 0.4]])
    labels = np.array(["a", "a", "b", "b", "b", "a"])
    groups = np.array(["1", "1", "2", "2", "2", "1"])
    assert knn_accuracy(embeddings, labels, each_its_own(6), 1) == pytest.approx(400 / 6)
    assert knn_accuracy(embeddings, labels, groups, 1) == 0.0


def test_dimensions_count_alike_whatever_their_size_and_place() -> None:
    embeddings, labels, groups = clusters(200)
    plain = knn_accuracy(embeddings, labels, groups)
    moved = embeddings * [1e4, 1e-4, 1.0, 3.0, 1e2, 1e-2] + [0.0, 1.0, -5.0, 100.0, 0.0, 2.0]
    assert knn_accuracy(moved, labels, groups) == plain
    # One informative dimension, far smaller than the noise beside it.
    generator = np.random.default_rng(0)
    small = np.stack([np.where(labels < "2", 1e-6, -1e-6), 1e3 * generator.normal(size=200)], axis=1)
    assert knn_accuracy(small, np.where(labels < "2", "x", "y"), groups) > 95.0


def test_a_constant_dimension_changes_nothing() -> None:
    embeddings, labels, groups = clusters(100)
    plain = knn_accuracy(embeddings, labels, groups)
    for constant in (0.0, 0.1, 1e30):  # the mean of a hundred times 0.1 is not 0.1
        beside = np.hstack([embeddings, np.full((100, 50), constant)])
        assert knn_accuracy(beside, labels, groups) == plain
        assert knn_accuracy(beside.astype(np.float32), labels, groups) == pytest.approx(plain, abs=1.01)


def test_nearer_neighbours_weigh_more() -> None:
    """Two far "b" against one near "a": one vote each would say "b"."""
    angles = np.deg2rad([0, 10, 80, 85, 180, 190, 260, 265])  # symmetric, so standardising keeps the angles' order
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])
    assert knn_accuracy(embeddings, labels, each_its_own(8), 3) == 100.0


def test_collapsed_embeddings_are_at_chance_and_broken_ones_are_nan() -> None:
    labels = np.array(["a", "b"] * 50)
    for value in (0.0, 0.3):
        assert 40 <= knn_accuracy(np.full((100, 4), value), labels, each_its_own(100)) <= 60
    broken = np.zeros((100, 4))
    broken[3, 2] = np.nan
    assert math.isnan(knn_accuracy(broken, labels, each_its_own(100)))


def test_ties_go_to_the_first() -> None:
    """Four equal clips tell the fifth: of neighbours the first two vote, of equal votes "a" wins."""
    embeddings = np.array([[1.0, 0.0]] * 4 + [[0.9, 0.0], [-4.9, 0.0]])
    groups = np.array(["1"] * 4 + ["2", "1"])  # the last clip is opposite, and there for the standardising
    for labels, right in ((["b", "b", "a", "a"], "b"), (["b", "a", "b", "a"], "a"), (["a", "b", "b", "b"], "a")):
        everyone = np.array([*labels, right, "c"])
        others = [label == right for label in [*labels, "c"]]  # they have only the fifth to ask
        assert knn_accuracy(embeddings, everyone, groups, 2) == pytest.approx(100 * (sum(others) + 1) / 6)


def test_a_clip_without_others_is_wrong_and_there_must_be_a_neighbour() -> None:
    embeddings, labels, _ = clusters(20)
    assert knn_accuracy(embeddings, labels, np.array(["one"] * 20)) == 0.0
    with pytest.raises(ValueError, match="neighbours is 0"):
        knn_accuracy(embeddings, labels, each_its_own(20), 0)
