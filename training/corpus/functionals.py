"""openSMILE's ComParE 2016 functionals of a crop. openSMILE is free for private, research and educational use only."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np

from selfie_hear.config import MissingExtraError

FEATURES = "ComParE_2016 functionals"
LEAST_SECONDS = 0.06  # of a crop: a frame of the pitch
LICENCE = (
    "openSMILE is under the audEERING Research License: free for private, research and educational use; commercial "
    "use, which includes the creation of commercial products with it, needs a licence from audEERING"
)


class Functionals:
    """Extracts the 6373 functionals of the ComParE 2016 feature set; of the same samples always the same values.

    Attributes:
        names: of the values.
        version: of opensmile.
    """

    def __init__(self, sample_rate: int) -> None:
        """
        Args:
            sample_rate: Hz.

        Raises:
            MissingExtraError: opensmile is not installed.
        """
        try:
            import opensmile
        except ImportError as error:
            text = f"targets are openSMILE's: pip install 'selfie_hear[opensmile]'. {LICENCE}"
            raise MissingExtraError(text) from error
        self._smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
        self._rate = sample_rate
        self.names: list[str] = self._smile.feature_names
        self.version: str = opensmile.__version__

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """
        Args:
            crop: `(samples,)` int16.

        Returns:
            `(6373,)` float32; all NaN of less than `LEAST_SECONDS`.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is too short
            values: np.ndarray = self._smile(crop.astype(np.float32) / 32768.0, self._rate)
        return values[0, :, 0]


@lru_cache
def functionals_at(sample_rate: int) -> Functionals:
    """One for all crops of a process: making it takes as long as many of them."""
    return Functionals(sample_rate)
