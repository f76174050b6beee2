"""`selfie-hear export`: a model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfie_hear.audio import printable
from selfie_hear.cli.shared import Branch, Model, Timestamps, Window, notes
from selfie_hear.config import ConfigError


def export(
    out: Annotated[Path, typer.Argument(help="OUT.onnx.")],
    timestamps: Timestamps = False,
    window: Window = None,
    model: Model = "",
    branch: Branch = "online",
) -> None:
    """Write a model as an ONNX file from samples to embeddings, which runs without PyTorch (selfie_hear.onnx)."""
    from selfie_hear.export import export_onnx  # it needs an extra

    if window is not None and not timestamps:
        raise ConfigError("--window goes with --timestamps")
    export_onnx(out, model, branch=branch, timestamps=timestamps, timestamp_window_ms=window)
    notes.print(f"{printable(out)}: {out.stat().st_size / 1e6:.1f} MB, compared with PyTorch", soft_wrap=True)
