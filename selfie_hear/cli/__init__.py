"""The `selfie-hear` command."""

from __future__ import annotations

import signal
import sys

import typer

from selfie_hear.audio import AudioError
from selfie_hear.cli.embed import embed
from selfie_hear.cli.explore import explore
from selfie_hear.cli.export import export
from selfie_hear.cli.models import models
from selfie_hear.cli.search import search
from selfie_hear.cli.shared import complain
from selfie_hear.cli.similarity import similarity
from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.explore.page import PageError
from selfie_hear.pretrained import ReleaseError
from selfie_hear.search import SearchError
from selfie_hear.tables import TableError

MISTAKES = (AudioError, ConfigError, MissingExtraError, PageError, ReleaseError, SearchError, TableError, OSError)

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False, help="Turn sound into vectors."
)
for command in (embed, similarity, search, explore, export, models):
    app.command()(command)


def main() -> None:
    """Entry point of the console script: errors for people on stderr, exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files go
    try:
        app()
    except MISTAKES as error:
        complain(f"error: {error}")
        raise SystemExit(1) from error
