"""Manifests of miniature copies of AudioSet and FSD50K, laid out and named as people have them."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import EXTENSIONS
from training.corpus.manifests import AUDIOSET_SPEECH, ManifestCount, ManifestError, audioset, fsd50k

SPEECH, MUSIC, DOG, MAN = "/m/09x0r", "/m/04rlf", "/m/0bt9lr", "/m/05zppz"
HOSTILE_IDS = (
    "abcdefghijk",
    "Yabcdefghij",  # a Y that is no prefix
    "YYYYYYYYYYY",
    "-abcdefghij",
    "--PJHxphWEs",
    "_abcdefghij",
    "___________",
    "Y_abcdefghi",
    "Y-1_2_3_4_5",
    "a_1234_5678",  # looks like a name with START and END
    "abcdef_1234",
    "abcdefghi_1",
    "abcdefghij_",
    "Yabcdefgh_1",
    "Y__________",
    "01234567890",
    "1_20_30_400",
)


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


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names_of(path: Path) -> list[str]:
    return [Path(row["path"]).name for row in rows_of(path)]


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


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


def test_a_count_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ManifestCount(3, 2, 1).found = 3  # type: ignore[misc]


# AudioSet


def test_clips_of_audioset_get_rows_in_the_order_of_the_segments(tmp_path: Path) -> None:
    """The manifest is beside the folder of clips; one of three segments has no file, one file is no segment's."""
    table = write_segments(
        tmp_path / "balanced_train_segments.csv",
        ("zzzzzzzzzzz", "30.000", f"{SPEECH},{DOG}"),
        ("mmmmmmmmmmm", "0.000", MUSIC),
        ("aaaaaaaaaaa", "510.000", MUSIC),
    )
    (tmp_path / "clips" / "deep" / "deeper").mkdir(parents=True)
    soundfile.write(tmp_path / "clips" / "aaaaaaaaaaa.flac", np.full(7, 0.25), 16000)
    soundfile.write(tmp_path / "clips" / "deep" / "deeper" / "zzzzzzzzzzz.wav", np.full(9, 0.5), 16000)
    touch(tmp_path / "clips", "xxxxxxxxxxx.wav", "notes.txt", "mmmmmmmmmmm.json", "mmmmmmmmmmm")
    out = tmp_path / "audioset.csv"
    assert audioset([table], tmp_path / "clips", out) == ManifestCount(listed=3, found=2, unlisted=1)
    assert rows_of(out) == [
        {
            "path": "clips/deep/deeper/zzzzzzzzzzz.wav",
            "source": "AudioSet",
            "licence": "not stated (YouTube)",
            "ytid": "zzzzzzzzzzz",
            "start_seconds": "30.000",
            "end_seconds": "40.000",
            "labels": "/m/09x0r;/m/0bt9lr",
            "subset": "balanced_train_segments",
        },
        {
            "path": "clips/aaaaaaaaaaa.flac",
            "source": "AudioSet",
            "licence": "not stated (YouTube)",
            "ytid": "aaaaaaaaaaa",
            "start_seconds": "510.000",
            "end_seconds": "520.000",
            "labels": "/m/04rlf",
            "subset": "balanced_train_segments",
        },
    ]
    assert [soundfile.info(tmp_path / row["path"]).frames for row in rows_of(out)] == [9, 7]


def test_no_column_has_a_name_that_the_index_of_a_pack_needs_itself(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "eval_segments.csv", ("aaaaaaaaaaa", "0.000", MUSIC))
    audioset([table], touch(tmp_path / "clips", "aaaaaaaaaaa.wav"), tmp_path / "a.csv")
    fsd50k(write_fsd50k(tmp_path / "fsd"), tmp_path / "f.csv")
    for manifest in ("a.csv", "f.csv"):
        (row, *_) = rows_of(tmp_path / manifest)
        assert list(row)[:3] == ["path", "source", "licence"]
        assert not {"shard", "offset", "samples", "reason"} & set(row)


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Y{}",
        "{}_30",
        "{}_30.000",
        "{}_30000",
        "{}_30_40",
        "{}_30.000_40.000",
        "{}_30000_40000",
        "{}_000030",
        "Y{}_30",
        "Y{}_30_40",
        "Y{}_30.000_40.000",
        "Y{}_30000_40000",
    ],
)
def test_every_customary_name_finds_its_id_whatever_the_id_looks_like(tmp_path: Path, form: str) -> None:
    """All the ids are listed, so that a name that is read wrongly may find another's row."""
    table = write_segments(tmp_path / "s.csv", *((ytid, "30.000", MUSIC) for ytid in HOSTILE_IDS))
    clips = touch(tmp_path / "clips", *(f"{form.format(ytid)}.wav" for ytid in HOSTILE_IDS))
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(len(HOSTILE_IDS), len(HOSTILE_IDS), 0)
    rows = rows_of(tmp_path / "out.csv")
    assert {row["ytid"]: Path(row["path"]).stem for row in rows} == {ytid: form.format(ytid) for ytid in HOSTILE_IDS}


@pytest.mark.parametrize("suffix", ["", "_30", "_30_40"])
def test_a_first_y_is_a_prefix_only_if_a_whole_id_is_left_behind_it(tmp_path: Path, suffix: str) -> None:
    """`Yabcdefghijk` is abcdefghijk with a prefix, and not Yabcdefghij with a k."""
    table = write_segments(
        tmp_path / "s.csv", *((ytid, "30.000", MUSIC) for ytid in ("Yabcdefghij", "abcdefghijk", "abcdefghij_"))
    )
    names = [f"Yabcdefghij{suffix}.wav", f"Yabcdefghijk{suffix}.wav", f"Yabcdefghij_{suffix}.wav"]
    assert audioset([table], touch(tmp_path / "clips", *names), tmp_path / "out.csv") == ManifestCount(3, 3, 0)
    assert [row["ytid"] for row in rows_of(tmp_path / "out.csv")] == ["Yabcdefghij", "abcdefghijk", "abcdefghij_"]
    assert names_of(tmp_path / "out.csv") == names


def test_names_of_another_form_or_of_ids_not_listed_are_counted_and_left_out(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "s.csv", ("abcdefghijk", "30.000", MUSIC), ("bbbbbbbbbbb", "30.000", MUSIC))
    others = (
        "ABCDEFGHIJK.wav",  # an id is case-sensitive
        "abcdefghij.wav",
        "abcdefghijkl.wav",
        "yabcdefghijk.wav",
        "YYabcdefghijk.wav",
        "abcdefghijk_.wav",
        "abcdefghijk_x.wav",
        "abcdefghijk_30_40_50.wav",
        "abcdefghijk__30.wav",
        "abcdefghijk-30.wav",
        "abcdefghijk_-30.wav",
        "abcdefghijk_30.wav.wav",
        "abcdefghijk_٣٠.wav",  # digits, but not ASCII
        "abcdefghijk\n.wav",
        "Yccccccccccc.wav",
    )
    clips = touch(tmp_path / "clips", "bbbbbbbbbbb.wav", *others)
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(2, 1, len(others))
    assert names_of(tmp_path / "out.csv") == ["bbbbbbbbbbb.wav"]


@pytest.mark.parametrize(
    ("start", "name", "same"),
    [
        ("30.000", "30", True),
        ("30.000", "30000", True),
        ("30.000", "20", False),  # another section of the same video
        ("30.000", "20000", False),
        ("30.000", "300", False),
        ("30.500", "30", True),  # decimals were cut off
        ("30.500", "31", True),
        ("30.500", "30500.0", True),
        ("30.500", "32", False),
        ("0.000", "0", True),
        ("0.000", "0.000_10.000", True),
        ("0.000", "10_20", False),
        ("0.000", "500", False),  # 500 s, not half a second
    ],
)
def test_a_start_in_the_name_is_the_segments_in_seconds_or_milliseconds(
    tmp_path: Path, start: str, name: str, same: bool
) -> None:
    table = write_segments(tmp_path / "s.csv", ("abcdefghijk", start, MUSIC), ("bbbbbbbbbbb", "0.000", MUSIC))
    clips = touch(tmp_path / "clips", f"abcdefghijk_{name}.wav", "bbbbbbbbbbb.wav")
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(2, 1 + same, 1 - same)
    assert ("abcdefghijk" in {row["ytid"] for row in rows_of(tmp_path / "out.csv")}) == same


def test_clips_may_be_in_any_audio_format(tmp_path: Path) -> None:
    ids = {extension: f"{number:011d}" for number, extension in enumerate(sorted(EXTENSIONS))}
    table = write_segments(tmp_path / "s.csv", *((ytid, "0.000", MUSIC) for ytid in ids.values()))
    names = [f"{ytid}{extension}" for extension, ytid in ids.items()]
    names[0] = names[0].upper()
    clips = touch(tmp_path / "clips", *names)
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(len(ids), len(ids), 0)
    assert names_of(tmp_path / "out.csv") == names


def test_a_clip_in_several_segments_files_is_the_firsts(tmp_path: Path) -> None:
    first = write_segments(tmp_path / "eval_segments.csv", ("aaaaaaaaaaa", "30.000", MUSIC))
    second = write_segments(
        tmp_path / "unbalanced_train_segments.csv", ("bbbbbbbbbbb", "0.000", DOG), ("aaaaaaaaaaa", "70.000", DOG)
    )
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "bbbbbbbbbbb.wav")
    for tables, expected in (
        ([first, second], [("aaaaaaaaaaa", "30.000", "eval_segments"), ("bbbbbbbbbbb", "0.000", second.stem)]),
        ([second, first], [("bbbbbbbbbbb", "0.000", second.stem), ("aaaaaaaaaaa", "70.000", second.stem)]),
    ):
        assert audioset(tables, clips, tmp_path / "out.csv") == ManifestCount(2, 2, 0)
        rows = rows_of(tmp_path / "out.csv")
        assert [(row["ytid"], row["start_seconds"], row["subset"]) for row in rows] == expected


def test_of_several_files_of_a_clip_the_first_by_path_is_taken(tmp_path: Path) -> None:
    """In whatever order the disk lists them. The others belong to a wanted segment: they do not count as unlisted."""
    table = write_segments(tmp_path / "s.csv", ("abcdefghijk", "30.000", MUSIC))
    names = [f"{folder}/{name}.wav" for folder in "kcqaxmbf" for name in ("abcdefghijk_30", "Yabcdefghijk")]
    for number, order in enumerate((names, names[::-1], sorted(names), sorted(names)[::-1])):
        clips = touch(tmp_path / f"clips{number}", *order)
        assert audioset([table], clips, clips / "out.csv") == ManifestCount(1, 1, 0)
        assert [row["path"] for row in rows_of(clips / "out.csv")] == ["a/Yabcdefghijk.wav"]


def test_labels_keep_the_segments_that_have_one_of_them(tmp_path: Path) -> None:
    table = write_segments(
        tmp_path / "s.csv",
        ("aaaaaaaaaaa", "0.000", f"{MUSIC},{MAN}"),
        ("bbbbbbbbbbb", "0.000", MUSIC),
        ("ccccccccccc", "0.000", f"{DOG},{MUSIC}"),
        ("ddddddddddd", "0.000", f"{SPEECH}0"),  # begins like the mid of speech
    )
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "bbbbbbbbbbb.wav", "ccccccccccc.wav", "ddddddddddd.wav")
    out = tmp_path / "out.csv"
    assert audioset([table], clips, out, AUDIOSET_SPEECH) == ManifestCount(1, 1, 3)
    assert [row["labels"] for row in rows_of(out)] == ["/m/04rlf;/m/05zppz"]
    assert audioset([table], clips, out, [DOG, MAN]) == ManifestCount(2, 2, 2)
    assert names_of(out) == ["aaaaaaaaaaa.wav", "ccccccccccc.wav"]
    assert audioset([table], clips, out, []) == ManifestCount(4, 4, 0)


def test_the_labels_of_speech_are_the_ontologys() -> None:
    """Speech and its `child_ids` in ontology.json of github.com/audioset/ontology."""
    children = ["/m/05zppz", "/m/02zsn", "/m/0ytgt", "/m/01h8n0", "/m/02qldy", "/m/0261r1", "/m/0brhx"]
    assert {"/m/09x0r", *children} == AUDIOSET_SPEECH


@pytest.mark.parametrize(
    "labels", [["Speech"], [SPEECH, "m/09x0r"], ["/m/09x0r "], [f"{SPEECH},{MUSIC}"], [""], SPEECH]
)
def test_a_label_that_is_no_mid_is_refused(tmp_path: Path, labels: list[str]) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    odd = next(label for label in labels if label != SPEECH)
    with pytest.raises(ManifestError) as caught:
        audioset([table], touch(tmp_path / "clips", "aaaaaaaaaaa.wav"), tmp_path / "out.csv", labels)
    assert str(caught.value).startswith(f"label {odd!r}:") and "/m/09x0r" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('aaaaaaaaaa, 0.000, 10.000, "/m/09x0r"', "'aaaaaaaaaa'"),  # ten characters
        ('aaaaaaaaaa.a, 0.000, 10.000, "/m/09x0r"', "'aaaaaaaaaa.a'"),
        ('aaaaaaaaaaa, zero, 10.000, "/m/09x0r"', "'zero'"),
        ('aaaaaaaaaaa, 0.000, nan, "/m/09x0r"', "'nan'"),
        ('aaaaaaaaaaa, 0.000, 10.000, "Speech"', "'Speech'"),
        ('aaaaaaaaaaa, 0.000, 10.000, "/m/09x0r,"', "'/m/09x0r,'"),
        ('aaaaaaaaaaa, 0.000, 10.000, ""', "''"),
        ("aaaaaaaaaaa, 0.000, 10.000", "'10.000'"),
        ("aaaaaaaaaaa, 0.000, 10.000, /m/09x0r,/m/04rlf", "'/m/04rlf'"),  # quotes were lost
        ("aaaaaaaaaaa_0\t0.0\t1.0\t/m/09x0r", r"\t"),  # the strongly labelled set
    ],
)
def test_a_line_that_is_no_segment_is_refused_with_its_file_and_number(tmp_path: Path, line: str, cells: str) -> None:
    table = write_segments(tmp_path / "s.csv", ("bbbbbbbbbbb", "0.000", SPEECH))
    table.write_text(table.read_text() + "\n" + line + "\n")  # line 5 is empty
    with pytest.raises(ManifestError) as caught:
        audioset([table], touch(tmp_path / "clips", "bbbbbbbbbbb.wav"), tmp_path / "out.csv")
    assert str(caught.value).startswith(f"{table}: line 6 is [")
    assert cells in str(caught.value) and "YTID, start_seconds, end_seconds" in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("rest", [b'ccccccccccc, 0.000, 10.000, "/m/09x0r\n', b"\xff\xfe\x00", b'"a" b, 1, 2, 3\n'])
def test_a_segments_file_that_is_no_csv_is_refused(tmp_path: Path, rest: bytes) -> None:
    table = write_segments(tmp_path / "s.csv", ("bbbbbbbbbbb", "0.000", SPEECH))
    table.write_bytes(table.read_bytes() + rest)
    with pytest.raises(ManifestError, match=r"s\.csv: what follows line [04] is not CSV in UTF-8"):
        audioset([table], touch(tmp_path / "clips", "bbbbbbbbbbb.wav"), tmp_path / "out.csv")


def test_segments_without_comments_with_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path) -> None:
    table = tmp_path / "s.csv"
    table.write_bytes(b'\xef\xbb\xbfaaaaaaaaaaa,0,9,/m/09x0r\r\n# more\r\nbbbbbbbbbbb, 5.5, 15.5, "/t/d2,/g/1_x"\r\n')
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "bbbbbbbbbbb.wav")
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(2, 2, 0)
    assert [row["labels"] for row in rows_of(tmp_path / "out.csv")] == ["/m/09x0r", "/t/d2;/g/1_x"]


def test_when_no_clip_is_found_the_error_counts_and_says_which_names_are_accepted(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "1.wav", "2.wav", "3.wav", "aaaaaaaaaaa.m4a", "aaaaaaaaaaa.txt")
    with pytest.raises(ManifestError) as caught:
        audioset([table], clips, tmp_path / "out.csv")
    for part in (f"{clips}: ", "none of the 2 clips", "3 other audio files", "ID_START_END", "a Y in front", ".flac"):
        assert part in str(caught.value)
    assert everything_in(tmp_path) == sorted(["s.csv", "clips", *(f"clips/{path.name}" for path in clips.iterdir())])


def test_missing_files_and_folders_of_audioset_are_refused(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    out = tmp_path / "out.csv"
    with pytest.raises(ManifestError, match=r"nowhere\.csv: cannot be read \(No such file"):
        audioset([table, tmp_path / "nowhere.csv"], clips, out)
    with pytest.raises(ManifestError, match=r"nowhere: cannot be searched for audio \(No such file"):
        audioset([table], tmp_path / "nowhere", out)
    with pytest.raises(ManifestError, match=r"aaaaaaaaaaa\.wav: cannot be searched for audio \(Not a directory"):
        audioset([table], clips / "aaaaaaaaaaa.wav", out)
    with pytest.raises(ManifestError, match="no segments file is named"):
        audioset([], clips, out)
    with pytest.raises(ManifestError, match=r"s\.csv: no segment with a label of /m/04rlf, /m/0bt9lr"):
        audioset([table], clips, out, [DOG, MUSIC])
    with pytest.raises(ManifestError, match=r"empty\.csv: no segment with a label of any kind"):
        audioset([write_segments(tmp_path / "empty.csv")], clips, out)
    assert not out.exists()


# FSD50K

CC = "http://creativecommons.org/licenses"


def test_the_dev_split_of_fsd50k_gets_rows_in_the_order_of_its_table(tmp_path: Path) -> None:
    info: dict[str, dict[str, object]] = {
        "64760": {"title": "x", "tags": ["a"], "license": f"{CC}/by/3.0/", "uploader": 'Müller, "H."'},
        "187": {"title": "y", "tags": [], "license": "http://creativecommons.org/publicdomain/zero/1.0/"},
        "1": {"license": f"{CC}/by/4.0/", "uploader": "nobody"},
    }
    folder = write_fsd50k(tmp_path / "FSD50K", info=info)
    assert fsd50k(folder, tmp_path / "dev.csv") == ManifestCount(listed=3, found=2, unlisted=1)
    rows = rows_of(tmp_path / "dev.csv")
    assert rows == [
        {
            "path": "FSD50K/FSD50K.dev_audio/64760.wav",
            "source": "FSD50K",
            "licence": "CC-BY-3.0",
            "fname": "64760",
            "uploader": 'Müller, "H."',
            "labels": "Electric_guitar;Guitar;Music",
            "subset": "dev/train",
        },
        {
            "path": "FSD50K/FSD50K.dev_audio/187.wav",
            "source": "FSD50K",
            "licence": "CC0-1.0",
            "fname": "187",
            "uploader": "",
            "labels": "Electric_guitar;Guitar;Music",
            "subset": "dev/train",
        },
    ]
    assert [soundfile.info(tmp_path / row["path"]).frames for row in rows] == [11, 10]


def test_subsets_of_fsd50k_are_train_val_and_eval(tmp_path: Path) -> None:
    folder = write_fsd50k(tmp_path)
    touch(folder / "FSD50K.dev_audio", "16399.wav")
    fsd50k(folder, tmp_path / "dev.csv")
    assert [row["subset"] for row in rows_of(tmp_path / "dev.csv")] == ["dev/train", "dev/val", "dev/train"]

    info: dict[str, dict[str, object]] = {"187": {"license": f"{CC}/by-nc/3.0/"}}
    folder = write_fsd50k(tmp_path / "other", "eval", info)
    assert fsd50k(folder, tmp_path / "eval.csv", "eval") == ManifestCount(3, 2, 1)
    rows = rows_of(tmp_path / "eval.csv")
    assert [row["path"] for row in rows] == [f"other/FSD50K.eval_audio/{fname}.wav" for fname in (64760, 187)]
    assert [(row["subset"], row["licence"]) for row in rows] == [("eval", "not stated"), ("eval", "CC-BY-NC-3.0")]


def test_without_metadata_the_licence_is_not_stated(tmp_path: Path) -> None:
    fsd50k(write_fsd50k(tmp_path), tmp_path / "out.csv")
    assert {(row["licence"], row["uploader"]) for row in rows_of(tmp_path / "out.csv")} == {("not stated", "")}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0", "CC0-1.0"),
        (f"{CC}/by/3.0/", "CC-BY-3.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        (f"{CC}/by-nc/3.0/", "CC-BY-NC-3.0"),
        (f"{CC}/by-nc/4.0", "CC-BY-NC-4.0"),
        (f"{CC}/by-nc-sa/2.5/", "CC-BY-NC-SA-2.5"),
        (f"{CC}/sampling+/1.0/", "CC-Sampling+ 1.0"),
        (f"{CC}/by/3.0/us/", f"{CC}/by/3.0/us/"),
        (f"{CC}/devnations/2.0/", f"{CC}/devnations/2.0/"),
        ("https://example.org/licenses/by/3.0/", "https://example.org/licenses/by/3.0/"),
        ("", "not stated"),
        (None, "not stated"),
    ],
)
def test_licences_get_short_names_and_unknown_ones_stay(tmp_path: Path, url: str | None, name: str) -> None:
    fsd50k(write_fsd50k(tmp_path, info={"187": {"license": url}}), tmp_path / "out.csv")
    assert [row["licence"] for row in rows_of(tmp_path / "out.csv")] == ["not stated", name]


def test_a_clip_that_the_table_lists_twice_has_one_row(tmp_path: Path) -> None:
    folder = write_fsd50k(tmp_path)
    with (folder / "FSD50K.ground_truth" / "dev.csv").open("a") as file:
        file.write("187,Dog,/m/0bt9lr,val\n")
    assert fsd50k(folder, tmp_path / "out.csv") == ManifestCount(3, 2, 1)
    assert rows_of(tmp_path / "out.csv")[-1]["labels"] == "Electric_guitar;Guitar;Music"


@pytest.mark.parametrize("split", ["train", "dev/train", "", "DEV"])
def test_an_unknown_split_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(ManifestError) as caught:
        fsd50k(write_fsd50k(tmp_path), tmp_path / "out.csv", split)
    assert str(caught.value) == f"split {split!r}: FSD50K has 'dev' and 'eval'"


@pytest.mark.parametrize(
    ("line", "cell"),
    [
        ("dog,Dog,/m/0bt9lr,train", "'dog'"),
        ("../1,Dog,/m/0bt9lr,train", "'../1'"),
        ("1,Dog,/m/0bt9lr,test", "'test'"),
        ("1,Dog,/m/0bt9lr", "'/m/0bt9lr']"),
        ("1,Dog,Animal,/m/0bt9lr,train", "'Animal'"),
        ("1,,/m/0bt9lr,train", "''"),
    ],
)
def test_a_line_of_the_dev_table_of_another_form_is_refused(tmp_path: Path, line: str, cell: str) -> None:
    folder = write_fsd50k(tmp_path)
    table = folder / "FSD50K.ground_truth" / "dev.csv"
    table.write_text(f'{table.read_text()}2,"Dog,\nAnimal",/m/0bt9lr,val\n{line}\n')
    with pytest.raises(ManifestError) as caught:
        fsd50k(folder, tmp_path / "out.csv")
    assert str(caught.value).startswith(f"{table}: line 7 is [")  # lines 5 and 6 are one row
    assert cell in str(caught.value) and "train or val" in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_a_split_in_the_eval_table_is_refused(tmp_path: Path) -> None:
    folder = write_fsd50k(tmp_path, "eval")
    table = folder / "FSD50K.ground_truth" / "eval.csv"
    table.write_text("fname,labels,mids\n187,Dog,/m/0bt9lr,train\n")
    with pytest.raises(ManifestError, match=r"eval\.csv: line 2 is"):
        fsd50k(folder, tmp_path / "out.csv", "eval")


@pytest.mark.parametrize("header", ["fname,labels,mids", "path,labels,mids,split", ""])
def test_a_table_with_other_columns_is_refused(tmp_path: Path, header: str) -> None:
    folder = write_fsd50k(tmp_path)
    (folder / "FSD50K.ground_truth" / "dev.csv").write_text(f"{header}\n")
    with pytest.raises(ManifestError, match=r"dev\.csv: line 1 is \[.*not \['fname', 'labels', 'mids', 'split'\]"):
        fsd50k(folder, tmp_path / "out.csv")


@pytest.mark.parametrize("text", ["{", "[]", '{"187": "CC0"}', '{"187": null}', "\udcff"])
def test_metadata_of_another_form_are_refused(tmp_path: Path, text: str) -> None:
    folder = write_fsd50k(tmp_path, info={})
    path = folder / "FSD50K.metadata" / "dev_clips_info_FSD50K.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ManifestError, match=r"dev_clips_info_FSD50K\.json: not JSON of the form .*license"):
        fsd50k(folder, tmp_path / "out.csv")


def test_missing_parts_of_fsd50k_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere/FSD50K\.ground_truth/dev\.csv: cannot be read \(No such file"):
        fsd50k(tmp_path / "nowhere", tmp_path / "out.csv")
    folder = write_fsd50k(tmp_path)
    for fname in (187, 64760):
        (folder / "FSD50K.dev_audio" / f"{fname}.wav").unlink()
    with pytest.raises(ManifestError, match=r"dev_audio: has none of the 3 clips listed and 1 other audio.*dev\.csv"):
        fsd50k(folder, tmp_path / "out.csv")
    (folder / "FSD50K.dev_audio").rename(folder / "dev_audio")
    with pytest.raises(ManifestError, match=r"FSD50K\.dev_audio: cannot be searched for audio \(No such file"):
        fsd50k(folder, tmp_path / "out.csv")


# Paths and the manifest itself


def test_paths_are_relative_to_the_manifest_wherever_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "data" / "clips", "aaaaaaaaaaa.wav")
    (tmp_path / "lists" / "mine").mkdir(parents=True)
    for out, expected in (
        (tmp_path / "lists" / "mine" / "out.csv", "../../data/clips/aaaaaaaaaaa.wav"),
        (tmp_path / "data" / "out.csv", "clips/aaaaaaaaaaa.wav"),
        (clips / "out.csv", "aaaaaaaaaaa.wav"),
    ):
        audioset([table], clips, out)
        assert [row["path"] for row in rows_of(out)] == [expected]
    monkeypatch.chdir(tmp_path / "data")
    audioset([table], Path("clips"), Path("here.csv"))
    assert [row["path"] for row in rows_of(Path("here.csv"))] == ["clips/aaaaaaaaaaa.wav"]


def test_paths_are_absolute_where_the_clips_are_on_another_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def relpath(path: str, start: str) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "relpath", relpath)
        audioset([table], clips, tmp_path / "out.csv")
    assert [row["path"] for row in rows_of(tmp_path / "out.csv")] == [str(clips / "aaaaaaaaaaa.wav")]


def test_links_to_folders_are_followed_once_and_lead_to_the_clips(tmp_path: Path) -> None:
    """The manifest is in a folder behind a link, so is one of the clips, and one link leads round in a circle."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "more.wav")
    (touch(tmp_path / "disk" / "two", "bbbbbbbbbbb.wav") / "back").symlink_to(clips)
    (clips / "eval").symlink_to(tmp_path / "disk" / "two")
    (clips / "again").symlink_to(clips)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "lists").symlink_to(tmp_path / "deep" / "er")
    out = tmp_path / "lists" / "out.csv"
    assert audioset([table], clips, out) == ManifestCount(2, 2, 1)
    found = [out.parent / row["path"] for row in rows_of(out)]
    assert found[0].samefile(clips / "aaaaaaaaaaa.wav")
    assert found[1].samefile(tmp_path / "disk" / "two" / "bbbbbbbbbbb.wav")


def test_the_manifest_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all is written, nothing, or the manifest of last time, is under the name."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "bbbbbbbbbbb.wav")
    out = tmp_path / "out.csv"
    written: list[str] = []

    def refuse(partial: Path, target: Path) -> Path:
        written.append(partial.read_text())
        raise OSError("no renaming today")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="no renaming today"):
            audioset([table], clips, out)
        assert not out.exists()
    audioset([table], clips, out)
    before = out.read_text()
    assert written == [before]

    (clips / "aaaaaaaaaaa.wav").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="no renaming today"):
            audioset([table], clips, out)
    assert out.read_text() == before

    audioset([table], clips, out)
    assert names_of(out) == ["bbbbbbbbbbb.wav"]


def test_a_manifest_that_pack_would_not_read_or_that_would_replace_a_table_is_refused(tmp_path: Path) -> None:
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    before = table.read_bytes()
    for out in (tmp_path / "out.txt", tmp_path / "nowhere" / "out.csv", clips / ".." / "s.csv"):
        with pytest.raises(ManifestError, match=r"a manifest is a file \*\.csv in a folder that exists"):
            audioset([table], clips, out)
    folder = write_fsd50k(tmp_path / "fsd")
    with pytest.raises(ManifestError, match=r"none of its sources"):
        fsd50k(folder, folder / "FSD50K.ground_truth" / "dev.csv")
    assert table.read_bytes() == before


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8: pack could not read them from the manifest."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH), ("bbbbbbbbbbb", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav")
    try:
        touch(clips / os.fsdecode(b"caf\xe9"), "bbbbbbbbbbb.wav")
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    with pytest.raises(ManifestError, match=r"UTF-8 cannot hold 'clips/caf\\udce9"):
        audioset([table], clips, tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "s.csv"]


def test_a_folder_that_cannot_be_searched_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its clips would be missing from the manifest without a word."""
    table = write_segments(tmp_path / "s.csv", ("aaaaaaaaaaa", "0.000", SPEECH))
    clips = touch(tmp_path / "clips", "aaaaaaaaaaa.wav", "locked/bbbbbbbbbbb.wav")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # tests may run as root, whom no mode stops
    with pytest.raises(ManifestError, match=r"locked: cannot be searched for audio \(Permission denied\)"):
        audioset([table], clips, tmp_path / "out.csv")


def test_no_file_is_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two million look-ups on a network disk take hours: folders are listed, files are not asked for."""
    ids = [f"{number:011d}" for number in range(200)]
    table = write_segments(tmp_path / "s.csv", *((ytid, "0.000", SPEECH) for ytid in ids))
    clips = touch(tmp_path / "clips", *(f"{ytid[-1]}/{ytid}.wav" for ytid in ids))
    asked: list[str] = []
    for name in ("stat", "lstat"):
        function = getattr(os, name)

        def counted(path: object, *args: object, function: object = function, **kwargs: object) -> object:
            asked.append(str(path))
            return function(path, *args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(os, name, counted)
    assert audioset([table], clips, tmp_path / "out.csv") == ManifestCount(200, 200, 0)
    assert asked and not [path for path in asked if path.endswith(".wav")]
