"""Clips in tables: their names, their columns, and what is kept of damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.sources import AUDIO, clips_of, table_of, wav


@pytest.mark.parametrize("name", ["t.parquet", "t.PARQUET", "t.arrow", "t.Arrow"])
def test_a_table_of_sounds(tmp_path: Path, name: str) -> None:
    """More rows than are read at once; bytes go before a path, which is looked for beside the table."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "7.wav").write_bytes(wav(7))
    audio: list[dict[str, Any] | None] = [{"bytes": wav(n + 1), "path": f"no/{n}.flac"} for n in range(40)]
    audio[2] = {"bytes": wav(3), "path": None}
    audio[6] = {"bytes": None, "path": "clips/7.wav"}
    path = tmp_path / name
    table_of(path.with_suffix(path.suffix.lower()), audio, label=range(40)).rename(path)
    clips = clips_of(path)
    expected = [(f"#{n}.flac", {"audio_path": f"no/{n}.flac", "label": str(n)}, n + 1) for n in range(40)]
    expected[2] = ("#2", {"audio_path": "", "label": "2"}, 3)
    expected[6] = ("#6.wav", {"audio_path": "clips/7.wav", "label": "6"}, 7)
    assert clips == expected


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_rows_without_a_sound_are_reported(tmp_path: Path, name: str) -> None:
    audio = [{"bytes": None, "path": None}, None, {"bytes": None, "path": "gone.wav"}, {"bytes": wav(1), "path": None}]
    assert clips_of(table_of(tmp_path / name, audio), {"source": "S"}) == [
        ("#0", {"source": "S", "audio_path": ""}, "neither bytes nor path"),
        ("#1", {"source": "S", "audio_path": ""}, "neither bytes nor path"),
        ("#2.wav", {"source": "S", "audio_path": "gone.wav"}, f"no bytes, and no file {tmp_path}/gone.wav"),
        ("#3", {"source": "S", "audio_path": ""}, 1),
    ]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_columns_of_one_value_are_kept(tmp_path: Path, name: str) -> None:
    """Not nested ones, nor dates: here one that Python has no value for."""
    path = table_of(
        tmp_path / name,
        [{"bytes": wav(1), "path": None}],
        text=["Größe"],
        number=[0.5],
        flag=[False],
        kind=pa.array(["x"]).dictionary_encode(),
        large=pa.array(["y"], pa.large_string()),
        reason=["mine"],
        nothing=pa.array([None], pa.string()),
        vector=[[1, 2]],
        nested=[{"a": 1}],
        when=pa.array([1], pa.timestamp("ns")),
    )
    ((_, about, _),) = clips_of(path, {"licence": "CC0-1.0", "text": "of all"})
    assert about == {
        "licence": "CC0-1.0",
        "audio_path": "",
        "text": "Größe",
        "number": "0.5",
        "flag": "False",
        "kind": "x",
        "large": "y",
        "reason_": "mine",
    }


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_table_without_audio_is_reported_once(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["a"] * 40, "audio": [{"bytes": b"", "rate": 1}] * 40})
    pq.write_table(table, tmp_path / "t.parquet")
    with pa.ipc.new_stream(str(tmp_path / "t.arrow"), table.schema) as stream:
        stream.write_table(table)
    assert clips_of(tmp_path / name) == [("", {}, "no column of audio, which is a struct of 'bytes' and 'path'")]


def test_a_table_without_rows_is_reported(tmp_path: Path) -> None:
    assert clips_of(table_of(tmp_path / "t.parquet", [])) == [("", {}, "holds no audio")]


def test_all_columns_of_audio_are_read_but_not_images(tmp_path: Path) -> None:
    """`datasets` stores an image as it stores audio, and says in the schema which is which."""
    image = pa.array([{"bytes": b"PNG", "path": "x.png"}] * 2, AUDIO)
    sounds = [pa.array([{"bytes": wav(n), "path": f"{n}.wav"} for n in pair], AUDIO) for pair in ((1, 2), (3, 4))]
    features = {"picture": {"_type": "Image"}, "noisy": {"_type": "Audio"}, "old": [{"dtype": "int32"}]}
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"picture": image, "noisy": sounds[0], "clean": sounds[1], "n": [1, 2]})
    pq.write_table(table.replace_schema_metadata(said), tmp_path / "t.parquet")
    assert clips_of(tmp_path / "t.parquet") == [
        ("#0/noisy.wav", {"audio_path": "1.wav", "n": "1"}, 1),
        ("#0/clean.wav", {"audio_path": "3.wav", "n": "1"}, 3),
        ("#1/noisy.wav", {"audio_path": "2.wav", "n": "2"}, 2),
        ("#1/clean.wav", {"audio_path": "4.wav", "n": "2"}, 4),
    ]


def test_tables_of_odd_types_and_values_are_reported_row_by_row(tmp_path: Path) -> None:
    for number, audio in enumerate(
        (
            pa.array([{"bytes": "text", "path": "x"}] * 2),
            pa.array([{"bytes": [1, 2], "path": 5}] * 2),
            pa.array([{"bytes": None, "path": "a\0b.w\0v"}, {"bytes": None, "path": "x" * 5000}], AUDIO),
        )
    ):
        pq.write_table(pa.table({"audio": audio}), tmp_path / f"{number}.parquet")
        reasons = [str(result) for *_, result in clips_of(tmp_path / f"{number}.parquet")]
        assert [reason.split()[0] for reason in reasons] == (["no", "no"] if number == 2 else ["its", "its"])


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_text_in_a_table_that_is_not_utf_8_is_reported(tmp_path: Path, name: str) -> None:
    text = pa.array([b"\xff"]).view(pa.string())
    ((_, _, reason),) = clips_of(table_of(tmp_path / name, [{"bytes": wav(1), "path": None}], text=text))
    assert str(reason).startswith("cannot be read to its end ('utf-8' codec can't decode")


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    audio = pa.array([{"bytes": wav(1), "path": None}], AUDIO)
    pq.write_table(pa.table([audio, pa.array(["a"]), pa.array(["b"])], ["audio", "x", "x"]), tmp_path / "t.parquet")
    assert clips_of(tmp_path / "t.parquet") == [("#0", {"audio_path": "", "x": "b"}, 1)]


def test_the_rows_before_the_damage_of_a_table_are_kept(tmp_path: Path) -> None:
    schema = pa.schema([("audio", AUDIO)])
    with pa.ipc.new_stream(str(tmp_path / "t.arrow"), schema) as stream:
        for n in range(1, 4):
            stream.write_batch(pa.record_batch([pa.array([{"bytes": wav(n), "path": None}], AUDIO)], schema=schema))
    content = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "t.arrow").write_bytes(content[:-60])
    *clips, (name, _, reason) = clips_of(tmp_path / "t.arrow")
    assert clips == [("#0", {"audio_path": ""}, 1), ("#1", {"audio_path": ""}, 2)]
    assert (name, str(reason)[:25]) == ("", "cannot be read to its end")


def test_a_cut_parquet_table_is_reported(tmp_path: Path) -> None:
    path = table_of(tmp_path / "t.parquet", [{"bytes": wav(1), "path": None}])
    path.write_bytes(path.read_bytes()[:-20])
    ((name, _, reason),) = clips_of(path)
    assert (name, str(reason)[:25]) == ("", "cannot be read to its end")
