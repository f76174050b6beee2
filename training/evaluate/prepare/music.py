"""Music: GTZAN (genres), NSynth (instrument families) and Surge (pitches of a synthesizer)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from training.evaluate.prepare.layout import audio_in, find, read_json, read_lines, split_of
from training.evaluate.prepare.task import Clip, PrepareError, Rejected

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
NOTES = range(21, 109)  # MIDI numbers of a piano's keys
_GTZAN_LISTS = (
    "the fault-filtered split, train_filtered.txt, valid_filtered.txt and test_filtered.txt, is to be had from "
    "github.com/jongpillee/music_dataset_split (GTZAN_split) or github.com/coreyker/dnn-mgr and goes beside genres/"
)
_GTZAN = re.compile(rf"(?:.*/)?({'|'.join(GENRES)})\.(000[0-9]{{2}})(?:\.wav|\.au)?")


def find_gtzan(source: Path) -> Iterator[Clip]:
    """GTZAN (Tzanetakis and Cook 2002): genres/GENRE/GENRE.000NN.wav or .au, and the three lists of the split.

    Label: the genre. The fault-filtered split of Kereliuk, Sturm and Larsen (2015), 443, 197 and 290 excerpts without
    repeated or distorted ones, and artists in one split each. Its lists are not distributed with the audio; a line is
    a path (blues/blues.00029.wav) or a number from 1 to 1000, the place in the order of genres.
    jazz.00054, which train lists, is damaged in the copies at Kaggle: from there it is among the rejected.
    """
    layout = "GTZAN as unpacked, genres/GENRE/GENRE.000NN.wav or .au (Kaggle: genres_original); " + _GTZAN_LISTS
    genres = find(source, ["genres", "genres_original"], layout)
    lists = {split: find(source, [f"{split}_filtered.txt"], layout) for split in ("train", "valid", "test")}
    for split, path in lists.items():
        for number, line in read_lines(path):
            genre, place = _excerpt(path, number, line)
            stem = genres / genre / f"{genre}.{place}"
            audio = next((found for end in (".wav", ".au") if (found := Path(f"{stem}{end}")).exists()), None)
            yield Clip(audio or Path(f"{stem}.wav"), split, genre, f"{genre}.{place}.wav")


def _excerpt(path: Path, number: int, line: str) -> tuple[str, str]:
    if match := _GTZAN.fullmatch(line):
        return match[1], match[2]
    if re.fullmatch("[0-9]+", line) and 1 <= int(line) <= 1000:
        return GENRES[(int(line) - 1) // 100], f"{(int(line) - 1) % 100:05d}"
    raise PrepareError(f"{path}: line {number} is {line!r}, not as blues/blues.00029.wav or a number from 1 to 1000")


def find_nsynth(source: Path) -> Iterator[Clip]:
    """NSynth (Engel et al. 2017), the three json/wav archives unpacked: nsynth-SPLIT/examples.json and audio/*.wav.

    Label: instrument_family_str, eleven families, of which valid and test lack synth_lead. The official split.
    """
    layout = "NSynth's json/wav archives as unpacked: nsynth-train, -valid and -test with examples.json and audio/*.wav"
    for split in ("train", "valid", "test"):
        folder = find(source, [f"nsynth-{split}"], layout)
        table = find(source, [f"nsynth-{split}/examples.json"], layout)
        for note, about in read_json(table).items():
            family = about.get("instrument_family_str") if isinstance(about, dict) else None
            if not isinstance(family, str):
                raise PrepareError(f"{table}: {note!r} has no instrument_family_str")
            yield Clip(folder / "audio" / f"{note}.wav", split, family, f"{note}.wav")


def find_surge(source: Path) -> Iterator[Clip | Rejected]:
    """Surge (Turian et al. 2021, "subtractive synth pitch"), as unpacked: surge/PRESET/noteNNN.ogg; label: MIDI note.

    88 notes, 21 to 108. The layout is our reading of programs that use the archive surge-velocity64-2K.tar, in which
    PRESET is as surge-patches-factory-Leads-Mosquito-velocity64; accepted are all names that end in the note's number
    (note060, 60, PRESET_060), as .ogg, .wav or .flac, at any depth. Without a folder, the preset is what precedes it.

    No official split. By preset, about 80, 10 and 10 % by a hash of its name; BYOL-A's shares are like these, its
    presets are not known to be.
    """
    root = source / "surge" if (source / "surge").is_dir() else source
    paths = audio_in(root, "**/*.ogg", "**/*.wav", "**/*.flac")
    if not paths:
        raise PrepareError(f"{source}: has no audio; accepted is Surge as unpacked, surge/PRESET/noteNNN.ogg or .wav")
    for path in paths:
        match = re.fullmatch(r"(.*?)([0-9]+)", path.stem)
        if not match or int(match[2]) not in NOTES:
            yield Rejected(path, "its name does not end in a MIDI note from 21 to 108, as note060")
            continue
        folder = "-".join(path.parent.relative_to(root).parts)
        preset, note = folder or match[1], int(match[2])
        file = f"{folder}-{path.stem}.wav" if folder else f"{path.stem}.wav"
        yield Clip(path, split_of(preset, 0.8, 0.1), str(note), file)
