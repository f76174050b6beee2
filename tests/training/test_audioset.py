"""The manifest of AudioSet: its rows, its labels, and the segments and folders that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.training.corpora import DOG, MAN, MUSIC, SPEECH, names_of, rows_of, touch, write_segments
from training.corpus.manifests import AUDIOSET_SPEECH, ManifestCount, ManifestError, audioset


def everything_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


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
