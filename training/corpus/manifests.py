"""Manifests of AudioSet and FSD50K as they lie on the disk, for `python -m training pack`."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sys import intern

from selfie_hear.audio import EXTENSIONS
from training.files import write_whole

# Speech and its children in the AudioSet ontology: man, woman and child speaking, conversation, narration, babbling,
# speech synthesizer. For BYOL-S (Elbanna et al. 2022), which trained on the speech in AudioSet.
AUDIOSET_SPEECH: frozenset[str] = frozenset(
    ["/m/09x0r", "/m/05zppz", "/m/02zsn", "/m/0ytgt", "/m/01h8n0", "/m/02qldy", "/m/0261r1", "/m/0brhx"]
)
_NUMBER, _MID = r"[0-9]+(?:\.[0-9]+)?", r"/[a-z]/[0-9a-z_]+"
_SEGMENT = tuple(map(re.compile, (r"[A-Za-z0-9_-]{11}", _NUMBER, _NUMBER, rf"{_MID}(?:,{_MID})*")))
# An id has 11 characters and a number begins with a digit, so no name can be read both with a first Y that is PANNs'
# prefix and with a first Y that is the id's own: of two readings at most one matches, whatever ids there are.
_CLIP = re.compile(rf"Y?([A-Za-z0-9_-]{{11}})(?:_({_NUMBER}))?(?:_{_NUMBER})?")
_CREATIVE_COMMONS = re.compile(
    r"https?://creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-nd|-sa)?|sampling\+)|publicdomain/(zero))/([0-9.]+)/?"
)
_FSD50K_COLUMNS = {"dev": ["fname", "labels", "mids", "split"], "eval": ["fname", "labels", "mids"]}
_Rows = dict[str, tuple[str, ...]]
_ClipOf = Callable[[str], str | None]  # the key of the row that a file belongs to, by its name without extension


class ManifestError(ValueError):
    """A corpus that is not laid out as it is distributed; the message says what was found and what is accepted."""


@dataclass(frozen=True)
class ManifestCount:
    """How many clips are listed in a corpus's tables (and wanted) and found, and how many audio files are neither."""

    listed: int
    found: int  # the rows of the manifest
    unlisted: int


def audioset(segments: Sequence[Path], clips: Path, out: Path, labels: Collection[str] = ()) -> ManifestCount:
    """Write the manifest of AudioSet clips (Gemmeke et al. 2017) that were downloaded into a folder.

    Args:
        segments: official CSV files, e.g. `balanced_train_segments.csv`; a clip that several list is the first's.
        clips: folder, searched to the bottom, of files named ID, ID_START or ID_START_END, maybe with a Y in front.
            START is the segment's in s or ms: another section of the video is another sound.
        out: the CSV file to write; its paths are relative to its folder.
        labels: keep the segments that have at least one of these, e.g. `AUDIOSET_SPEECH`; all, if empty.

    Raises:
        ManifestError: a missing or malformed file, a label that is no mid, no segment or no clip left.
    """
    if odd := [label for label in labels if not re.fullmatch(_MID, label)]:
        raise ManifestError(f"label {odd[0]!r}: not the mid of a class of AudioSet, such as /m/09x0r (speech)")
    _check_out(out, segments)
    wanted = frozenset(labels)
    rows: _Rows = {}
    for path in segments:
        for line, row in _read(path):
            if len(row) != 4 or not all(form.fullmatch(cell) for form, cell in zip(_SEGMENT, row, strict=True)):
                raise ManifestError(f"{path}: line {line} is {row}, not YTID, start_seconds, end_seconds, 'mid,mid'")
            ytid, start, end, mids = row[0], *map(intern, row[1:])  # 2 million rows share few starts and labels
            if not wanted or not wanted.isdisjoint(mids.split(",")):
                about = (ytid, start, end, intern(mids.replace(",", ";")), path.stem)
                rows.setdefault(ytid, ("AudioSet", "not stated (YouTube)", *about))
    if not rows:
        sources = ", ".join(map(str, segments)) or "no segments file is named"
        raise ManifestError(f"{sources}: no segment with a label of {', '.join(sorted(wanted)) or 'any kind'}")

    def ytid_of(stem: str) -> str | None:
        match = _CLIP.fullmatch(stem)
        if not match or match[1] not in rows:
            return None
        start, named = float(rows[match[1]][3]), float(match[2] or rows[match[1]][3])
        return match[1] if abs(named - start) < 1 or abs(named - 1000 * start) < 1 else None  # decimals may be lost

    names = "ID, ID_START and ID_START_END (START: the segment's in s or ms), maybe with a Y in front"
    return _write(out, "ytid start_seconds end_seconds labels subset", rows, clips, ytid_of, names)


def fsd50k(folder: Path, out: Path, split: str = "dev") -> ManifestCount:
    """Write the manifest of FSD50K (Fonseca et al. 2022), unpacked as it is distributed.

    Args:
        folder: holds `FSD50K.dev_audio`, `FSD50K.ground_truth` and, for licences and uploaders, `FSD50K.metadata`.
        out: the CSV file to write; its paths are relative to its folder.
        split: "dev" or "eval".

    Raises:
        ManifestError: an unknown split, a missing or malformed file, no clip found.
    """
    if split not in _FSD50K_COLUMNS:
        raise ManifestError(f"split {split!r}: FSD50K has {' and '.join(map(repr, _FSD50K_COLUMNS))}")
    table, columns = folder / "FSD50K.ground_truth" / f"{split}.csv", _FSD50K_COLUMNS[split]
    _check_out(out, [table])
    info = _read_info(folder / "FSD50K.metadata" / f"{split}_clips_info_FSD50K.json")
    lines = _read(table)
    line, header = next(lines, (1, []))
    if header != columns:
        raise ManifestError(f"{table}: line {line} is {header}, not {columns}")
    rows: _Rows = {}
    for line, row in lines:
        whole = len(row) == len(columns) and row[1] and row[3:] in ([], ["train"], ["val"])
        if not whole or not re.fullmatch("[0-9]+", row[0]):
            raise ManifestError(f"{table}: line {line} is {row}, not a number, labels, mids and, for dev, train or val")
        licence, uploader = (str(info.get(row[0], {}).get(key) or "") for key in ("license", "uploader"))
        about = (row[0], uploader, row[1].replace(",", ";"), "/".join([split, *row[3:]]))
        rows.setdefault(row[0], ("FSD50K", _short_licence(licence), *about))
    audio, names = folder / f"FSD50K.{split}_audio", f"FNAME, as in {table.name}"
    return _write(out, "fname uploader labels subset", rows, audio, lambda name: name if name in rows else None, names)


def _check_out(out: Path, sources: Sequence[Path]) -> None:
    if out.suffix.lower() != ".csv" or not out.parent.is_dir() or out.resolve() in map(Path.resolve, sources):
        raise ManifestError(f"{out}: a manifest is a file *.csv in a folder that exists, and none of its sources")


def _read(path: Path) -> Iterator[tuple[int, list[str]]]:
    line = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for row in reader:
                line = reader.line_num
                if row and not row[0].startswith("#"):
                    yield line, row
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: what follows line {line} is not CSV in UTF-8 ({error})") from error


def _read_info(path: Path) -> dict[str, dict[str, object]]:
    try:
        info = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {fname: {**about} for fname, about in info.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ManifestError(f'{path}: not JSON of the form {{"FNAME": {{"license": "..."}}, ...}} ({error})') from error


def _short_licence(url: str) -> str:
    match = _CREATIVE_COMMONS.fullmatch(url)
    if not match:
        return url or "not stated"
    name = {"zero": "CC0-", "sampling+": "CC-Sampling+ "}.get(match[2] or match[1], f"CC-{match[1]}-".upper())
    return name + match[3]


def _find(folder: Path, base: Path, clip_of: _ClipOf) -> tuple[dict[str, str], int]:
    """Clips below a folder and their (first) paths, relative to `base`, and how many audio files are no clip's."""
    found: dict[str, str] = {}
    errors: list[OSError] = []
    unlisted, seen, start = 0, set(), os.path.realpath(base)  # real paths: behind a link .. leads elsewhere
    for link, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        where = os.path.realpath(link)
        if where in seen:  # links may lead round in a circle
            folders.clear()
            continue
        seen.add(where)
        with suppress(ValueError):  # on another drive
            where = os.path.relpath(where, start)
        prefix = "" if where == os.curdir else where + os.sep
        for name in names:
            stem, dot, extension = name.rpartition(".")
            if (dot + extension).lower() in EXTENSIONS:
                clip, path = clip_of(stem), prefix + name
                unlisted += clip is None
                if clip is not None:
                    found[clip] = min(path, found.get(clip, path))
    if errors:
        raise ManifestError(f"{errors[0].filename}: cannot be searched for audio ({errors[0].strerror})")
    return found, unlisted


def _write(out: Path, columns: str, rows: _Rows, folder: Path, clip_of: _ClipOf, names: str) -> ManifestCount:
    found, unlisted = _find(folder, out.parent, clip_of)
    if not found:
        what = f"has none of the {len(rows)} clips listed and {unlisted} other audio files"
        raise ManifestError(f"{folder}: {what}; accepted are {names}, as {', '.join(sorted(EXTENSIONS))}")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["path", "source", "licence", *columns.split()])
    writer.writerows([found[clip], *row] for clip, row in rows.items() if clip in found)
    text = file.getvalue()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{out}: UTF-8 cannot hold {text[: error.end].splitlines()[-1]!r}; rename it") from error
    write_whole(out, text)
    return ManifestCount(len(rows), len(found), unlisted)
