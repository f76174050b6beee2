"""Miniature copies of AudioSet and FSD50K, laid out and named as people have them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import soundfile

SPEECH, MUSIC, DOG, MAN = "/m/09x0r", "/m/04rlf", "/m/0bt9lr", "/m/05zppz"


def write_segments(path: Path, *rows: tuple[str, str, str]) -> Path:
    """A segments file as Google writes it, of (id, start, labels); a segment is 10 s long."""
    text = "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    text += f"# num_ytids={len(rows)}, num_segs={len(rows)}, num_unique_labels=527, num_positive_labels=52882\n"
    text += "# YTID, start_seconds, end_seconds, positive_labels\n"
    text += "".join(f'{ytid}, {start}, {float(start) + 10:.3f}, "{labels}"\n' for ytid, start, labels in rows)
    path.write_text(text)
    return path


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_fsd50k(folder: Path, split: str = "dev", info: dict[str, dict[str, object]] | None = None) -> Path:
    """Three clips listed, of which the second was not downloaded, and one file more than is listed."""
    splits = ("train", "val", "train")
    if split == "dev":
        text = "fname,labels,mids,split\n"
        for fname, part in zip((64760, 16399, 187), splits, strict=True):
            text += f'{fname},"Electric_guitar,Guitar,Music","/m/02sgy,/m/0342h,/m/04rlf",{part}\n'
    else:
        text = "fname,labels,mids\n"
        for fname in (64760, 16399, 187):
            text += f'{fname},"Electric_guitar,Guitar,Music","/m/02sgy,/m/0342h,/m/04rlf"\n'
    (folder / "FSD50K.ground_truth").mkdir(parents=True)
    (folder / "FSD50K.ground_truth" / f"{split}.csv").write_text(text)
    audio = folder / f"FSD50K.{split}_audio"
    audio.mkdir()
    for number, fname in enumerate((187, 64760, 99999)):
        soundfile.write(audio / f"{fname}.wav", np.full(10 + number, 0.1), 44100)
    if info is not None:
        (folder / "FSD50K.metadata").mkdir()
        (folder / "FSD50K.metadata" / f"{split}_clips_info_FSD50K.json").write_text(json.dumps(info))
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_of(path: Path) -> list[str]:
    return [Path(row["path"]).name for row in rows_of(path)]
