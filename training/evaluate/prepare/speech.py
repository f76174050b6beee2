"""Speech: Speech Commands (words), VoxCeleb1 (speakers) and CREMA-D (emotions)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from training.evaluate.prepare.layout import audio_in, find, read_lines
from training.evaluate.prepare.task import Clip, PrepareError, Rejected

# The actors, of 1001 to 1091, of the splits of `crema_d` 1.0.0 in TensorFlow Datasets: all others are in train. There
# they come of numpy's RandomState(0), which shuffles the names; the first 63 are in train, the next nine in valid.
CREMA_D_VALID = "1015 1020 1021 1030 1050 1070 1079 1089 1090"
CREMA_D_TEST = "1010 1013 1022 1026 1037 1038 1040 1045 1047 1048 1059 1065 1066 1068 1071 1073 1084 1086 1088"
_CREMA_D = re.compile(r"(10(?:0[1-9]|[1-8][0-9]|9[01]))_[A-Z]{3}_(ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{1,2}")
_UTTERANCE = re.compile(r"([123]) (id[0-9]{5})/([^/ ]+)/([0-9]+)\.wav")


def find_speech_commands(source: Path) -> Iterator[Clip]:
    """Speech Commands v0.02 (Warden 2018), as unpacked: WORD/*.wav and the two lists; label: one of the 35 words.

    The official split: validation_list.txt, testing_list.txt, and train is the rest. The background noises are left
    out. (HEAR's own task of this name has twelve classes, with silence and unknown words.)
    """
    layout = "speech_commands_v0.02 as unpacked: WORD/*.wav, validation_list.txt and testing_list.txt"
    splits = {}
    for split, file in (("valid", "validation_list.txt"), ("test", "testing_list.txt")):
        path = find(source, [file], layout)
        for number, name in read_lines(path):
            if not re.fullmatch(r"[^/]+/[^/]+\.wav", name):
                raise PrepareError(f"{path}: line {number} is {name!r}, not WORD/FILE.wav")
            splits[name] = split
    found = {f"{path.parent.name}/{path.name}" for path in audio_in(source, "[!_]*/*.wav")}
    if not found:
        raise PrepareError(f"{source}: has no WORD/*.wav; accepted is {layout}")
    for name in sorted(found | set(splits)):
        word, file = name.split("/")
        yield Clip(source / name, splits.get(name, "train"), word, f"{word}-{file}")


def find_voxceleb1(source: Path) -> Iterator[Clip]:
    """VoxCeleb1 (Nagrani et al. 2017): wav/idNNNNN/VIDEO/NNNNN.wav (both zips unpacked) and iden_split.txt.

    Label: the speaker, one of 1251. The official split for identification: 1, 2 and 3 in the list are train, valid and
    test. dev/wav and test/wav, into which some unpack the zips of one name, are looked into as well.
    """
    layout = "VoxCeleb1 as unpacked: iden_split.txt (of VoxCeleb's site) and wav/idNNNNN/VIDEO/NNNNN.wav"
    table = find(source, ["iden_split.txt"], layout)
    find(source, ["wav", "dev/wav", "test/wav"], layout)
    folders = {path.name: path for root in ("wav", "dev/wav", "test/wav") for path in source.glob(f"{root}/id*")}
    for number, line in read_lines(table):
        match = _UTTERANCE.fullmatch(line)
        if not match:
            raise PrepareError(f"{table}: line {number} is {line!r}, not '1 idNNNNN/VIDEO/NNNNN.wav' with 1, 2 or 3")
        part, speaker, video, utterance = match.groups()
        path = folders.get(speaker, source / "wav" / speaker) / video / f"{utterance}.wav"
        split = {"1": "train", "2": "valid", "3": "test"}[part]
        yield Clip(path, split, speaker, f"{speaker}-{video}-{utterance}.wav")


def find_crema_d(source: Path) -> Iterator[Clip | Rejected]:
    """CREMA-D (Cao et al. 2014), as cloned: AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav; label: the intended emotion.

    No official split. By actor, 63, 9 and 19 of 91 (70, 10 and 20 %), actor for actor those of TensorFlow Datasets
    1.0.0, which lacks four of the clips. BYOL-A's shares are the same, its actors are not known to be.
    A clone without Git LFS holds no audio.
    """
    layout = "CREMA-D as cloned, with Git LFS: AudioWAV/1001_DFA_ANG_XX.wav, ..."
    paths = audio_in(find(source, ["AudioWAV"], layout), "*.wav")
    if not paths:
        raise PrepareError(f"{source}: has no AudioWAV/*.wav; accepted is {layout}")
    for path in paths:
        match = _CREMA_D.fullmatch(path.stem)
        if not match:
            yield Rejected(path, "not named ACTOR_SENTENCE_EMOTION_LEVEL, as 1001_DFA_ANG_XX of actors 1001 to 1091")
            continue
        actor, emotion = match.groups()
        split = "valid" if actor in CREMA_D_VALID else "test" if actor in CREMA_D_TEST else "train"
        yield Clip(path, split, emotion, path.name)
