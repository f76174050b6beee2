"""One file of a repository on the Hugging Face Hub: from the cache where that is enough, else fetched."""

from __future__ import annotations

import logging
import re
from pathlib import Path

HUB_PREFIX = "hf-hub:"
_COMMIT = re.compile("[0-9a-f]{40}")
_BUSY = (408, 429)  # what a server answers that may well answer later; so do 500 and above
_LOGIN = "set HF_TOKEN or run `hf auth login`"
_logger = logging.getLogger(__name__)


class HubError(ValueError):
    """What cannot be had from the Hub, or sent to it; the message says what, why, and what to do."""


def parse_source(source: str, revision: str | None = None) -> tuple[str, str]:
    """Repository and revision of `hf-hub:ORG/NAME[@REVISION]`; the revision is "main" where none is given.

    Args:
        revision: the same as `@REVISION`.

    Raises:
        HubError: two revisions, an empty one, or one that git does not allow.
    """
    repository, at, tag = source.removeprefix(HUB_PREFIX).partition("@")
    if at and revision is not None and revision != tag:
        raise HubError(f"two revisions were given: @{tag} and revision={revision!r}")
    wanted = tag if at else "main" if revision is None else revision
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", wanted) or ".." in wanted:  # the client makes it part of a path
        raise HubError(f"{source}: revision {wanted!r} is not the name of a branch, tag or commit")
    return repository, wanted


def download(repository: str, revision: str, name: str) -> Path:
    """A file of a repository, in the cache, in a folder that has the full commit as its name.

    A file of a full commit that is in the cache is taken from there without a request. A branch or tag is looked up;
    where the server cannot be reached, the file of its last look-up is taken and a warning logged, unless
    HF_HUB_OFFLINE asks for just that. The client honours HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and HF_HOME.

    Args:
        repository: `ORG/NAME`.
        revision: branch, tag or full commit.
        name: of the file.

    Raises:
        HubError: no such repository, revision or file, no access to it, or no server and nothing in the cache.
    """
    from huggingface_hub import (  # only now: it is slow to import and most models are local
        constants,
        get_hf_file_metadata,
        hf_hub_download,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import HFValidationError

    what = f"{HUB_PREFIX}{repository}@{revision}"
    try:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str) and _COMMIT.fullmatch(revision):
            return Path(cached)
        try:  # asked by us: the client's own question, unanswered, is silently answered by the cache
            there = get_hf_file_metadata(hf_hub_url(repository, name, revision=revision)).commit_hash
        except failures() as error:
            if not isinstance(cached, str) or not _may_pass(error):
                raise
            if not constants.HF_HUB_OFFLINE:
                _logger.warning(
                    "%s: %s; taken from the cache as it was at its last look-up: commit %s",
                    what, reason(error), Path(cached).parent.name,
                )  # fmt: skip
            return Path(cached)
        path = Path(hf_hub_download(repository, name, revision=revision))
    except HFValidationError as error:
        raise HubError(f"{HUB_PREFIX}{repository}: not the name of a repository, which is ORG/NAME") from error
    except failures() as error:
        raise HubError(f"{what}: {name} could not be fetched from the Hub: {reason(error)}") from error
    if path.parent.name != there:
        raise HubError(f"{what}: moved from commit {there} to {path.parent.name} while it was looked up; try again")
    return path


def discard(path: Path) -> None:
    """Remove a file that `download` gave from the cache, so that it is fetched again when it is asked for again."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)


def failures() -> tuple[type[Exception], ...]:
    """What the Hub's client raises for want of a network, an answer, access or disk space."""
    from huggingface_hub.errors import HfHubHTTPError

    return OSError, *HfHubHTTPError.__bases__  # the latter: errors of whichever HTTP library the client is made with


def reason(error: Exception) -> str:
    """What an error of the Hub's client means, and what to do about it."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = _status(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and the cache does not have it; unset it to ask {constants.ENDPOINT}"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision; accepted are a branch, a tag or a full commit"
    if isinstance(error, EntryNotFoundError) and status:
        return "it has no such file; is it a release of selfie_hear?"
    if isinstance(error, GatedRepoError):
        return f"it is gated: ask for access on {constants.ENDPOINT}, then {_LOGIN}"
    if isinstance(error, RepositoryNotFoundError):
        seen = "that the token which is set may not see" if get_token() else f"for which to {_LOGIN}"
        return f"there is no such repository (check the name), or it is a private one {seen}"
    if status in (401, 403):
        return f"the server refuses the token ({status}), or there is none: {_LOGIN} with one that may do this"
    if isinstance(error, HfHubHTTPError):
        return f"{constants.ENDPOINT} answers {status}: {str(error).splitlines()[0]}"
    if isinstance(error, OSError) and error.filename:
        return f"the cache cannot be used: {error}"
    return f"{constants.ENDPOINT} cannot be reached, or broke off ({str(error) or type(error).__name__}); try again"


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _may_pass(error: Exception) -> bool:
    """Whether there was no answer, or one that says nothing of the repository."""
    status = _status(error)
    return status is None or status in _BUSY or status >= 500
