"""VoxForge: which of six languages is spoken."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from training.evaluate.prepare.layout import audio_in, split_of
from training.evaluate.prepare.task import Clip, PrepareError, Rejected

LANGUAGES = ("de", "en", "es", "fr", "it", "ru")
_WAV = re.compile(r"(?:^|/)wav/[^./][^/]*\.wav$")
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, OSError)
_TAR = re.compile(r"(.+)\.(?:tgz|tar\.gz|tar)")


def find_voxforge(source: Path) -> Iterator[Clip | Rejected]:
    """VoxForge (MacLean 2018): below LANG/, at any depth, uploads SPEAKER-DATE-XXX as .tgz or unpacked; label: LANG.

    LANG is de, en, es, fr, it or ru; a mirror made by `wget -x` (downloads/LANG/Trunk/Audio/Main/16kHz_16bit) will do.
    Of an upload, wav/*.wav are taken; the few that have FLAC alone are left out, as by TensorFlow Datasets.

    No official split. By speaker (the name up to the first hyphen, in any language), about 70, 15 and 15 % of them by a
    hash of the name; of anonymous uploads each counts as a speaker. TensorFlow Datasets (70, 10 and 20 %, at random)
    takes all that are anonymous for one speaker; of BYOL-A's split only the shares are known.
    """
    uploads: dict[tuple[str, str], list[Path]] = {}
    for path in audio_in(source, "**/wav/*.wav"):
        if language := _language(path.relative_to(source).parts[:-3]):
            uploads.setdefault((language, path.parent.parent.name), []).append(path)
    tars = {}
    for path in audio_in(source, "**/*.tgz", "**/*.tar.gz", "**/*.tar"):
        match, language = _TAR.fullmatch(path.name), _language(path.relative_to(source).parts[:-1])
        if match and language and (language, match[1]) not in uploads:  # else it is unpacked beside it
            tars[language, match[1]] = path
    if not uploads and not tars:
        raise PrepareError(
            f"{source}: has no LANG/UPLOAD/wav/*.wav and no LANG/UPLOAD.tgz; accepted is VoxForge as downloaded, with "
            f"uploads SPEAKER-DATE-XXX below folders named {', '.join(LANGUAGES)}"
        )
    for (language, upload), paths in sorted(uploads.items()):
        for path in paths:
            yield Clip(path, _split(upload), language, f"{language}-{upload}-{path.name}")
    for (language, upload), path in sorted(tars.items()):
        yield from _packed(path, language, upload)


def _language(folders: Sequence[str]) -> str | None:
    return next((folder for folder in folders if folder in LANGUAGES), None)


def _packed(path: Path, language: str, upload: str) -> Iterator[Clip | Rejected]:
    try:
        with tarfile.open(path) as tar:
            members = {member.name for member in tar if member.isfile() and _WAV.search(member.name)}
    except _DAMAGE as error:
        yield Rejected(path, f"cannot be read to its end ({error})")
        return
    if not members:
        yield Rejected(path, "holds no wav/*.wav")
    for member in sorted(members):
        yield Clip(path, _split(upload), language, f"{language}-{upload}-{PurePosixPath(member).name}", member)


def _split(upload: str) -> str:
    speaker = upload.split("-")[0].lower()
    return split_of(upload if speaker == "anonymous" else speaker, 0.7, 0.15)
