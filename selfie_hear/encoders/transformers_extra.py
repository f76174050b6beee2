"""The `transformers` package, which two encoders take their networks from; imported when one of them is built."""

from __future__ import annotations

import importlib
from typing import Any

from selfie_hear.config import MissingExtraError


def transformers(encoder: str) -> Any:
    """The package.

    Args:
        encoder: who asks.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise MissingExtraError(
            f"encoder {encoder!r} needs transformers: pip install 'selfie_hear[transformers]'"
        ) from error
