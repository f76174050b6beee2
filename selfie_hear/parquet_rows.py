"""Rows of (path, time, embedding) into a Parquet file, of which little is in memory at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selfie_hear.config import MissingExtraError

GROUP_ROWS, GROUP_BYTES = 4096, 2**25  # of embeddings in a row group, which is what is in memory at once
DTYPES = ("float32", "float16")


def pyarrow_parquet() -> Any:
    """The module `pyarrow`, with `pyarrow.parquet` loaded.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Parquet needs pyarrow: pip install 'selfie_hear[parquet]'") from error
    return pyarrow


class ParquetRows:
    """Columns `path`, the details, `timestamp_ms` where there are times, and `embedding`, a fixed-size list."""

    def __init__(
        self,
        file: Any,
        size: int,
        timestamps: bool,
        about: Mapping[str, str],
        dtype: str = "float32",
        details: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            file: path, or binary file to write to.
            size: values per embedding.
            about: metadata of the file.
            dtype: of the values, one of `DTYPES`.
            details: columns of which all rows of one `add` have the same value: name to Arrow type.

        Raises:
            MissingExtraError: no pyarrow.
        """
        self._arrow = pyarrow_parquet()
        self.size, self._dtype = size, dtype
        kind = self._arrow.list_(self._arrow.from_numpy_dtype(dtype), size)
        self._same = {"path": "string", **(details or {})}
        columns = [(name, self._arrow.type_for_alias(alias)) for name, alias in self._same.items()]
        columns += [*[("timestamp_ms", self._arrow.float64())] * timestamps, ("embedding", kind)]
        self._schema = self._arrow.schema(columns, metadata=dict(about))
        texts = [name for name, alias in self._same.items() if alias == "string"]
        self._writer = self._arrow.parquet.ParquetWriter(
            file, self._schema, use_dictionary=texts, compression="none", write_statistics=texts
        )  # embeddings do not repeat and do not compress
        self._most = min(GROUP_ROWS, max(1, GROUP_BYTES // (size * np.dtype(dtype).itemsize)))
        self._held: list[Any] = []  # tables that together are less than a row group
        self._held_rows = 0

    def add(self, name: str, times: np.ndarray | None, embeddings: np.ndarray, *details: object) -> None:
        """Add the rows of one file: `times` `(n,)` in ms or None, `embeddings` `(n, size)`."""
        for start in range(0, len(embeddings), self._most):
            part = np.ascontiguousarray(embeddings[start : start + self._most], self._dtype)
            columns = [
                self._arrow.array([value] * len(part), self._arrow.type_for_alias(alias))
                for value, alias in zip((name, *details), self._same.values(), strict=True)
            ]
            if times is not None:
                columns.append(self._arrow.array(times[start : start + self._most], self._arrow.float64()))
            columns.append(self._arrow.FixedSizeListArray.from_arrays(self._arrow.array(part.reshape(-1)), self.size))
            self._held.append(self._arrow.Table.from_arrays(columns, schema=self._schema))
            self._held_rows += len(part)
            if self._held_rows >= self._most:
                self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(self._arrow.concat_tables(self._held).combine_chunks())
        self._held, self._held_rows = [], 0

    def finish(self) -> None:
        """Write what is held and complete the file."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """Close the file without completing it."""
        self._writer.close()
