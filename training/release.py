"""Whether a release folder is fit to be given away: whole, giving its golden embeddings, with a licence and a card."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from selfie_hear import ReleaseError
from selfie_hear.config import ReleaseConfig
from selfie_hear.pretrained import BRANCHES, file_digest, read_config
from training.golden import GOLDEN, check_golden

CARD, CONFIG = "README.md", "config.json"
# Of those that the Hub knows (its documentation, "Licenses"), the ones that weights may sensibly have.
LICENCES = (
    "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-permissive-2.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mit", "mpl-2.0", "openrail", "unlicense",
)  # fmt: skip


class Release(NamedTuple):
    """A release that was checked.

    Attributes:
        files: the names of its files, and no others that may lie in the folder.
        card: its text.
    """

    config: ReleaseConfig
    files: tuple[str, ...]
    card: str


def check_release(folder: Path) -> Release:
    """Read a release folder and see that nothing is wrong with it.

    Raises:
        ReleaseError: a file is missing or damaged, embeddings are not the golden ones, the licence is not one that the
            Hub knows, or the card's header cannot be read or says another licence.
    """
    config = read_config(folder)
    weights = sorted(config.sha256)
    if "online.safetensors" not in weights or set(weights) - {f"{branch}.safetensors" for branch in BRANCHES}:
        raise ReleaseError(f"{folder / CONFIG}: lists {', '.join(weights) or 'no weights'}, not those of {BRANCHES}")
    files = (CARD, CONFIG, GOLDEN, *weights)
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise ReleaseError(f"{folder}: not a whole release, it has no {', '.join(missing)}; export the run again")
    for name in weights:
        if file_digest(folder / name) != config.sha256[name]:
            raise ReleaseError(
                f"{folder / name}: damaged, its SHA-256 is not the one in {CONFIG}; export the run again"
            )
    check_golden(folder)
    if config.licence.lower() not in LICENCES:
        raise ReleaseError(
            f"{folder}: licence {config.licence!r} is not known to the Hub; known are {', '.join(LICENCES)}"
        )
    return Release(config, files, _read_card(folder / CARD, config.licence.lower()))


def _read_card(path: Path, licence: str) -> str:
    from huggingface_hub import ModelCard  # only now: it is slow to import

    try:
        card = path.read_text(encoding="utf-8-sig")
        stated = ModelCard(card).data.get("license")
    except Exception as error:  # UnicodeDecodeError, ValueError, and those of the YAML parser
        raise ReleaseError(f"{path}: its YAML header cannot be read ({error})") from error
    if stated != licence:
        raise ReleaseError(f"{path}: its header says licence {stated!r}, {CONFIG} {licence!r}; make them agree")
    return card
