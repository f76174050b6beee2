"""Names of AudioSet's clips: each customary one finds its segment, whatever the id looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfie_hear.audio import EXTENSIONS
from tests.training.corpora import MUSIC, names_of, rows_of, touch, write_segments
from training.corpus.manifests import ManifestCount, audioset

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


def test_of_several_files_of_a_clip_the_first_by_path_is_taken(tmp_path: Path) -> None:
    """In whatever order the disk lists them. The others belong to a wanted segment: they do not count as unlisted."""
    table = write_segments(tmp_path / "s.csv", ("abcdefghijk", "30.000", MUSIC))
    names = [f"{folder}/{name}.wav" for folder in "kcqaxmbf" for name in ("abcdefghijk_30", "Yabcdefghijk")]
    for number, order in enumerate((names, names[::-1], sorted(names), sorted(names)[::-1])):
        clips = touch(tmp_path / f"clips{number}", *order)
        assert audioset([table], clips, clips / "out.csv") == ManifestCount(1, 1, 0)
        assert [row["path"] for row in rows_of(clips / "out.csv")] == ["a/Yabcdefghijk.wav"]
