"""A release folder to the Hugging Face Hub, in one commit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from selfie_hear.hub import HubError, download, failures, reason
from training.hub_card import hub_card, is_edited
from training.release import CARD, check_release


class PushError(ValueError):
    """A release that cannot be pushed; the message says why and what to do. The repository is as it was."""


@dataclass(frozen=True)
class Push:
    """What is to be sent, and what is there.

    Attributes:
        files: name to content.
        head: commit that the revision is at, or "main" where there is no such revision; None: there is no repository.
        is_branch: whether the revision is there.
        kept_card: whether people edited the card there, so that it is not among `files`.
    """

    name: str
    repository: str
    revision: str
    private: bool
    files: dict[str, Path | bytes]
    head: str | None
    is_branch: bool
    kept_card: bool

    def size(self, name: str) -> int:
        """Bytes of a file."""
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def plan_push(
    folder: Path, repository: str, revision: str = "main", private: bool = False, replace_card: bool = False
) -> Push:
    """Check a release and look at the repository; nothing is written.

    Args:
        repository: `ORG/NAME`.
        revision: the branch to commit to, made from "main" if it is not there.
        private: whether a repository that is made is private.
        replace_card: even if people edited it.

    Raises:
        ReleaseError: see `check_release`.
        PushError: a name that cannot be one, no access, no server, or a repository that is public and should not be.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    release = check_release(folder)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise PushError(f"--repo {repository}: not the name of a repository, which is ORG/NAME")
    if (
        not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", revision)
        or ".." in revision
        or re.fullmatch("[0-9a-f]{40}", revision)
    ):
        raise PushError(f"--revision {revision}: not the name of a branch, which is what is committed to")
    files: dict[str, Path | bytes] = {name: folder / name for name in release.files}
    files[CARD] = hub_card(release.card, release.config.name, repository).encode()
    head, is_branch, kept = None, False, False
    try:
        try:
            there = HfApi().model_info(repository, revision=revision)
            is_branch = True
        except RevisionNotFoundError:
            there = HfApi().model_info(repository)
        if private and not there.private:
            raise PushError(
                f"{repository}: is there and public; make it private on its page, or push without --private"
            )
        head = there.sha
        if head and not replace_card and CARD in {file.rfilename for file in there.siblings or ()}:
            kept = is_edited(download(repository, head, CARD).read_bytes().decode(errors="replace"))
    except RepositoryNotFoundError:
        pass  # it is made when it is pushed to
    except HFValidationError as error:
        raise PushError(f"--repo {repository}: {error}") from error
    except HubError as error:
        raise PushError(str(error)) from error
    except failures() as error:
        raise PushError(f"{repository}: {reason(error)}") from error
    if kept:
        del files[CARD]
    return Push(release.config.name, repository, revision, private, files, head, is_branch, kept)


def push(plan: Push) -> str:
    """Do it: large files first, which nobody sees, then one commit. Returns the full name of the commit.

    It is `plan.head` if all files were there already.

    Raises:
        PushError: no access, no server, a header that the Hub refuses, or a commit of somebody else in the meantime.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api, made = HfApi(), ""
    operations = [CommitOperationAdd(name, content) for name, content in plan.files.items()]
    try:
        if plan.head is None:
            api.create_repo(plan.repository, private=plan.private or None)
            made = f"; {plan.repository} was made and holds nothing yet"
        api.preupload_lfs_files(plan.repository, operations, revision=plan.revision if plan.is_branch else "main")
        if not plan.is_branch and plan.revision != "main":
            api.create_branch(plan.repository, branch=plan.revision)
        done = api.create_commit(
            plan.repository,
            operations,
            commit_message=f"Release {plan.name}",
            revision=plan.revision,
            parent_commit=plan.head,
        )
    except failures() as error:
        moved = getattr(getattr(error, "response", None), "status_code", None) == 412
        why = "somebody committed to it in the meantime; push again" if moved else reason(error)
        raise PushError(f"{plan.repository}: not pushed: {why}{made}") from error
    except ValueError as error:
        raise PushError(f"{plan.repository}: not pushed: {error}{made}") from error
    return str(done.oid)
