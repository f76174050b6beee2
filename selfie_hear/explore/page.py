"""One page of HTML that needs no network: a template, a style, a script and data."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = {
    "map": ("page.js", "map.js", "pointer.js", "panel.js"),
    "timeline": ("page.js", "timeline.js"),
}  # of each kind of page


class PageError(ValueError):
    """A page that cannot be made as asked for."""


def build_page(kind: str, title: str, data: Mapping[str, Any]) -> str:
    """The page, the same for the same data.

    Args:
        kind: of `SCRIPTS`.
        data: JSON values, which the script reads.
    """
    style = _part("page.css") + _part(f"{kind}.css")
    script = '"use strict";\n' + "".join(map(_part, SCRIPTS[kind]))
    # Inline handlers are refused, and whatever a name could smuggle in: only this script runs, nothing is fetched.
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        f"img-src data:; media-src blob:{_linked(data)}; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy), "title": html.escape(title), "style": style, "script": script,
        "body": _part(f"{kind}.html"), "data": to_json(data),
    }  # fmt: skip
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html"))


def to_json(data: Mapping[str, Any]) -> str:
    """JSON that nothing in it can end early within a script element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def packed(values: np.ndarray | bytes) -> str:
    """Bytes, or the values of an array row by row, in base64."""
    return base64.b64encode(values if isinstance(values, bytes) else values.tobytes()).decode()


def check_out(path: Path) -> None:
    """Refuse what cannot become a page, before any work is done for it.

    Raises:
        PageError: another ending than .html, a folder, or a folder that does not exist.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise PageError(f"{path}: the output must end in .html")
    if path.is_dir():
        raise PageError(f"{path}: is a folder; name a file")
    if not path.resolve().parent.is_dir():
        raise PageError(f"{path}: the folder {path.resolve().parent} does not exist")


def _linked(data: Mapping[str, Any]) -> str:
    return " 'self' file:" if data["linked"] else ""


def _part(name: str) -> str:
    return files("selfie_hear.explore").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
