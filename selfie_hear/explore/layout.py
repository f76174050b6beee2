"""Embeddings on a plane, and which of them are alike."""

from __future__ import annotations

import numpy as np

from selfie_hear.config import MissingExtraError

COMPONENTS = 50  # that t-SNE starts from (van der Maaten & Hinton 2008, section 4.2: 30)
PERPLEXITY = 30.0
ROWS = 1024  # whose similarities to all are in memory at once


def check_extra() -> None:
    """
    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
        import threadpoolctl  # noqa: F401 - with scikit-learn, as is SciPy
    except ImportError as error:
        raise MissingExtraError("explore needs scikit-learn: pip install 'selfie_hear[explore]'") from error


def directions(embeddings: np.ndarray) -> np.ndarray:
    """Unit vectors float32 `(n, D)` of embeddings `(n, D)` less their mean, as `selfie-hear similarity` compares them;
    one that is the mean becomes zero."""
    values = embeddings - embeddings.mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    unit: np.ndarray = np.where(lengths > 1e-9, values / np.maximum(lengths, 1e-9), 0.0).astype(np.float32)
    return unit


def nearest(unit: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of the unit vectors `(n, D)` the `count` others that are most alike, the most alike first.

    Returns:
        their rows int64 `(n, k)` and cosine similarities float32 `(n, k)`, k = min(count, n - 1); of equals the first.
    """
    k = min(count, len(unit) - 1)
    rows, cosines = np.empty((len(unit), k), np.int64), np.empty((len(unit), k), np.float32)
    for start in range(0, len(unit), ROWS):
        cosine = unit[start : start + ROWS] @ unit.T
        here = np.arange(len(cosine))
        cosine[here, start + here] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        rows[start : start + ROWS] = order
        cosines[start : start + ROWS] = np.take_along_axis(cosine, order, axis=1)
    return rows, cosines


def plane(unit: np.ndarray, seed: int = 0) -> np.ndarray:
    """Places `(n, 2)` in [-1, 1] of the unit vectors `(n, D)`, n >= 3: t-SNE after PCA; the same on every call.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    check_extra()
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums by several threads round differently from run to run, and t-SNE magnifies that
        values = (unit - unit.mean(axis=0)).astype(np.float64)
        spread = float(np.abs(values).max()) > 1e-6  # all alike: there is no first component to start from
        few = min(COMPONENTS, *unit.shape)
        reduced = PCA(few, random_state=seed).fit_transform(values) if spread else values[:, :few]
        perplexity = min(PERPLEXITY, (len(unit) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca" if spread else "random", random_state=seed)
        places = tsne.fit_transform(reduced).astype(np.float64)
    places = places - places.mean(axis=0)
    axes = np.linalg.svd(places, full_matrices=False)[2]  # the longest way across, which windows have most room for
    places = places @ (axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]).T
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    fitted: np.ndarray = places / max(float(np.abs(places).max()), 1e-9)
    return fitted
