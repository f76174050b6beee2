"""The manifest of FSD50K: its rows, its licences, and the tables and folders that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from tests.training.corpora import rows_of, touch, write_fsd50k
from training.corpus.manifests import ManifestCount, ManifestError, fsd50k

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
