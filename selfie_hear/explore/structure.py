"""The structure of a recording: its similarity to itself, where it changes, which parts recur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selfie_hear.explore.layout import check_extra

PROMINENCE = 0.2  # of a peak of novelty, which is between -2 and 2
FAR = (
    0.3  # of the mean's length: a column nearer to the mean has less of a direction, so that hiss is not told from hiss
)
ALIKE = 0.6  # cosine similarity of parts that count as the same kind, on average over those of the kind
KERNEL = 24  # the kernel's half is this fraction of the recording,
SECONDS = 1.5  # but no shorter, as then syllables would be parts


@dataclass(frozen=True)
class Structure:
    """Of n columns of equal length.

    Attributes:
        similarity: float32 `(n, n)`, cosine of the columns less their mean; less for those close to it.
        novelty: `(n,)`, how much a column's past differs from its future.
        changes: columns that begin a new part.
        groups: of each part, 0 ... in the order of their first appearance; parts that are alike share one.
    """

    similarity: np.ndarray
    novelty: np.ndarray
    changes: list[int]
    groups: list[int]


def find_structure(columns: np.ndarray, step: float) -> Structure:
    """Compare columns `(n, D)` with each other and divide them into parts.

    Args:
        step: seconds between columns.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    check_extra()
    from scipy.signal import find_peaks  # type: ignore[import-untyped]

    mean = columns.mean(axis=0, dtype=np.float64)
    away = columns - mean
    lengths = np.linalg.norm(away, axis=1, keepdims=True)
    unit = (away / np.maximum(lengths, max(1e-9, FAR * float(np.linalg.norm(mean))))).astype(np.float32)
    similarity = unit @ unit.T
    half = max(1, min(len(columns) // 2, max(round(len(columns) / KERNEL), round(SECONDS / step))))
    curve = novelty(similarity, half)
    peaks, _ = find_peaks(curve, prominence=PROMINENCE, distance=max(1, half // 2))
    changes = [int(peak) for peak in peaks]
    return Structure(similarity, curve, changes, _groups(unit, changes))


def novelty(similarity: np.ndarray, half: int) -> np.ndarray:
    """Foote's novelty `(n,)` of a similarity matrix `(n, n)` (J. Foote 2000, Automatic audio segmentation using a
    measure of audio novelty, equation 4 with the Gaussian taper of section 3.2).

    Element t is the mean similarity within the `half` columns before t and within those from t on, less the mean
    between the two sides; it falls to zero towards the ends, where a side has fewer columns.
    """
    n = len(similarity)
    offsets = np.arange(-half, half) + 0.5
    taper = np.exp(-0.5 * np.square(offsets / (0.5 * half)))
    kernel = np.outer(np.sign(offsets) * taper, np.sign(offsets) * taper)
    kernel /= np.abs(kernel).sum() / 2
    padded = np.zeros((n + 2 * half, n + 2 * half))
    padded[half:-half, half:-half] = similarity
    curve = np.array([(padded[t : t + 2 * half, t : t + 2 * half] * kernel).sum() for t in range(n)])
    sides = np.minimum(np.arange(n), n - np.arange(n)) / half
    return curve * np.clip(sides, 0.0, 1.0)


def _groups(unit: np.ndarray, changes: list[int]) -> list[int]:
    """Average-linkage clusters of the parts' mean directions, by cosine."""
    from sklearn.cluster import AgglomerativeClustering

    means = np.stack([part.mean(axis=0) for part in np.split(unit, changes)])
    if len(means) == 1:
        return [0]
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means = means / np.maximum(lengths, 1e-9)
    distances = np.clip(1.0 - means @ means.T, 0.0, 2.0)
    clusters = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1.0 - ALIKE
    ).fit_predict(distances)
    order = list(dict.fromkeys(clusters.tolist()))
    return [order.index(cluster) for cluster in clusters.tolist()]
