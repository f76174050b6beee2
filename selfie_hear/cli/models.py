"""`selfie-hear models`: what comes with the package."""

from __future__ import annotations

from rich.table import Table as Grid

from selfie_hear.cli.shared import console
from selfie_hear.config import ReleaseConfig
from selfie_hear.embedder import Embedder
from selfie_hear.pretrained import DEFAULT, bundled_releases, read_config


def models() -> None:
    """List the models that come with the package."""
    grid = Grid("name", "values", "parameters", "file", "data", "licence")
    for name, folder in bundled_releases().items():
        config: ReleaseConfig = read_config(folder)
        size = (folder / "online.safetensors").stat().st_size / 1e6
        embedder = Embedder(config.model)
        parameters = sum(p.numel() for p in embedder.parameters()) / 1e6
        shown = f"{name} (default)" if name == DEFAULT else name
        values = str(embedder.scene_embedding_size)
        grid.add_row(shown, values, f"{parameters:.2f} M", f"{size:.1f} MB", config.data, config.licence)
    console.print(grid)
