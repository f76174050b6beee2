"""Embeddings without PyTorch: runs what `selfie-hear export` wrote, with onnxruntime and numpy alone."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selfie_hear.config import LOUDEST, InputError, MissingExtraError

FORMAT_VERSION = 1  # of the metadata of exported files
HOW_TO_SCALE = {
    "int16": "; for 16-bit audio: audio.astype('float32') / 32768",
    "int32": "; for 32-bit audio: audio.astype('float32') / 2147483648",
    "uint8": "; for unsigned 8-bit audio: (audio.astype('float32') - 128) / 128",
}


class OnnxModelError(ValueError):
    """A file that cannot be used; the message says which, why, and what is accepted."""


class OnnxModel:
    """A file that `selfie-hear export` wrote, ready to run.

    Attributes:
        sample_rate: Hz that the audio must have.
        embedding_size: values per embedding.
        timestamps: whether it gives timestamp embeddings; otherwise it gives scene embeddings.
        properties: what the file says of itself: name, branch, sha256 of the weights, licence, data and more.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        """
        Args:
            threads: that onnxruntime computes with; None for one per core.

        Raises:
            OnnxModelError: no such file, not ONNX, or of another origin.
            MissingExtraError: onnxruntime is not installed.
        """
        runtime = _runtime()
        if not Path(path).is_file():
            raise OnnxModelError(f"{path}: no such file; `selfie-hear export OUT.onnx` makes one")
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of classes that onnxruntime does not make public
            reason = str(error).splitlines()[0]
            raise OnnxModelError(f"{path}: cannot be loaded by onnxruntime {runtime.__version__}: {reason}") from error
        self.properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if self.properties.get("format_version") != str(FORMAT_VERSION):
            found = self.properties.get("format_version", "none")
            raise OnnxModelError(
                f"{path}: its metadata have format version {found}, not {FORMAT_VERSION}; "
                "accepted are files that `selfie-hear export` of this version wrote"
            )
        self.sample_rate = int(self.properties["sample_rate"])
        self.embedding_size = int(self.properties["size"])
        self.timestamps = self.properties["embeddings"] == "timestamps"

    def scene_embeddings(self, audio: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """One embedding per clip.

        Args:
            audio: `(n_sounds, n_samples)`, or a list of 1-D arrays of any lengths: mono, floating point, in [-1, 1], at
                `sample_rate`. A clip gives the same embedding in any company.

        Returns:
            float32 `(n_sounds, embedding_size)`.

        Raises:
            InputError: audio of another kind.
            OnnxModelError: the file gives timestamp embeddings.
        """
        if self.timestamps:
            raise OnnxModelError("this file gives timestamp embeddings; export one without --timestamps")
        clips = _check(audio, self.sample_rate)
        return np.concatenate([self._run(clip)[0] for clip in clips])

    def timestamp_embeddings(
        self, audio: np.ndarray | Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray] | tuple[list[np.ndarray], list[np.ndarray]]:
        """One embedding every 40 ms, pooled over the window that the file was exported with.

        Args:
            audio: as for `scene_embeddings`.

        Returns:
            float32 embeddings `(n_sounds, T, embedding_size)` and their centres `(n_sounds, T)` in ms; for a list of
            clips two lists, of `(T_i, D)` and of `(T_i,)`.

        Raises:
            InputError: audio of another kind.
            OnnxModelError: the file gives scene embeddings.
        """
        if not self.timestamps:
            raise OnnxModelError("this file gives scene embeddings; export one with --timestamps")
        clips = _check(audio, self.sample_rate)
        results = [self._run(clip) for clip in clips]
        if isinstance(audio, np.ndarray):
            return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])
        return [r[0][0] for r in results], [r[1][0] for r in results]

    def _run(self, clip: np.ndarray) -> list[np.ndarray]:
        results: list[np.ndarray] = self._session.run(None, {"audio": clip[None].astype(np.float32, copy=False)})
        return results


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError("running an ONNX file needs onnxruntime: pip install onnxruntime") from error


def _check(audio: np.ndarray | Sequence[np.ndarray], sample_rate: int) -> list[np.ndarray]:
    accepted = (
        "accepted is a float array (n_sounds, n_samples), or a list of 1-D float arrays, "
        f"in [-1, 1] at {sample_rate} Hz"
    )
    if isinstance(audio, np.ndarray):
        if audio.ndim != 2:
            hint = "; for one clip use audio[None]" if audio.ndim == 1 else ""
            raise InputError(f"audio has shape {audio.shape}; {accepted}{hint}")
    elif not isinstance(audio, list | tuple):
        raise InputError(f"audio is a {type(audio).__name__}; {accepted}")
    if len(audio) == 0:
        raise InputError(f"audio is empty: there are no clips; {accepted}")
    for number, clip in enumerate(audio):
        if not isinstance(clip, np.ndarray) or clip.ndim != 1:
            what = f"has shape {clip.shape}" if isinstance(clip, np.ndarray) else f"is a {type(clip).__name__}"
            raise InputError(f"clip {number} {what}; {accepted}")
        if clip.dtype.kind != "f":
            raise InputError(f"clip {number} has dtype {clip.dtype}; {accepted}{HOW_TO_SCALE.get(clip.dtype.name, '')}")
        if len(clip) == 0:
            raise InputError(f"clip {number} has zero samples; at least one is needed")
        peak = max(-float(clip.min()), float(clip.max()))  # NaN goes through both
        if not math.isfinite(peak):
            raise InputError(f"clip {number} holds NaN or infinite samples; {accepted}")
        if peak > LOUDEST:
            raise InputError(f"clip {number} has a peak of {peak:g}; {accepted}; divide 16-bit values by 32768")
    return list(audio)
