"""Reading back the pages that were made."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """The elements of a page, as a browser would find them.

    Attributes:
        tags: name and attributes of each, in order.
        texts: of the script and style elements and the title, by tag or id.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._within = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = dict(attrs).get("id") or tag if tag in ("script", "style", "title") else ""

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within:
            self.texts[self._within] = self.texts.get(self._within, "") + data

    @property
    def data(self) -> Any:
        return json.loads(self.texts["data"])

    @property
    def policy(self) -> str:
        (found,) = (a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy")
        return str(found)
