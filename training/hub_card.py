"""The model card as it is pushed: it loads the model from there, and tells whether people have edited it since."""

from __future__ import annotations

import hashlib
import re

# In the card itself, where neither copying nor rewriting the repository's history loses it; the Hub's editor may, and
# then the card counts as edited.
_SEAL = "# Card pushed by selfie_hear; SHA-256 of the rest, which tells the next push whether people edited it: "
_SEALED = re.compile(rf"\A---\n{re.escape(_SEAL)}([0-9a-f]{{64}})\n")


def hub_card(card: str, name: str, repository: str) -> str:
    """A release's card for a repository: loads from there, and sealed.

    Args:
        card: Markdown with a YAML header, lines ending in a newline; a seal that it has is replaced.
        name: of the release.
        repository: `ORG/NAME`.
    """
    rest = _SEALED.sub("---\n", card.lstrip()).replace(
        f'load_model("path/to/{name}")', f'load_model("hf-hub:{repository}")'
    )
    return rest.replace("---\n", f"---\n{_SEAL}{_digest(rest)}\n", 1)


def is_edited(card: str) -> bool:
    """Whether a repository's card is other than `hub_card` made it, or not made by it at all."""
    found = _SEALED.match(card)
    return found is None or _digest(_SEALED.sub("---\n", card)) != found[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
