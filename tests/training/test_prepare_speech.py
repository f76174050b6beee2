"""Speech Commands, VoxCeleb1, VoxForge and CREMA-D in miniature, as they are distributed, made tasks and read back."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.training.test_prepare import everything_in, refusal, rejected_in, sound, task_of
from training.evaluate.prepare import prepare
from training.evaluate.prepare.speech import CREMA_D_TEST, CREMA_D_VALID


def test_speech_commands(tmp_path: Path) -> None:
    source = tmp_path / "speech_commands_v0.02"
    for word in ("yes", "no"):
        for name in ("aa_nohash_0", "bb_nohash_0", "cc_nohash_0", "dd_nohash_1"):
            sound(source / word / f"{name}.wav", 0.9)
    sound(source / "_background_noise_" / "pink_noise.wav", 2.0)
    sound(source / "yes" / "._aa_nohash_0.wav")
    (source / "validation_list.txt").write_text("yes/bb_nohash_0.wav\nno/bb_nohash_0.wav\nno/gone.wav\n")
    (source / "testing_list.txt").write_text("no/cc_nohash_0.wav\nyes/cc_nohash_0.wav\n")
    task = task_of("speech_commands", source, tmp_path / "tasks", rejected=1)
    assert task["train"] == {
        "no-aa_nohash_0.wav": "no", "no-dd_nohash_1.wav": "no",
        "yes-aa_nohash_0.wav": "yes", "yes-dd_nohash_1.wav": "yes",
    }  # fmt: skip
    assert task["valid"] == {"no-bb_nohash_0.wav": "no", "yes-bb_nohash_0.wav": "yes"}
    assert task["test"] == {"no-cc_nohash_0.wav": "no", "yes-cc_nohash_0.wav": "yes"}
    assert rejected_in(tmp_path / "tasks" / "speech_commands")[0]["path"].endswith("no/gone.wav")
    (source / "testing_list.txt").write_text("cc_nohash_0.wav\n")
    assert "line 1 is 'cc_nohash_0.wav', not WORD/FILE.wav" in refusal("speech_commands", source)
    (source / "testing_list.txt").unlink()
    assert "has no testing_list.txt; accepted is" in refusal("speech_commands", source)


def test_speech_commands_without_audio(tmp_path: Path) -> None:
    source = tmp_path / "lists"
    source.mkdir()
    (source / "validation_list.txt").write_text("yes/a.wav\n")
    (source / "testing_list.txt").write_text("yes/b.wav\n")
    assert "lists: has no WORD/*.wav; accepted is" in refusal("speech_commands", source)


@pytest.mark.parametrize("folders", [("wav", "wav"), ("dev/wav", "test/wav")])
def test_voxceleb1(tmp_path: Path, folders: tuple[str, str]) -> None:
    source = tmp_path / "voxceleb1"
    lines = []
    for speaker, folder in zip(("id10001", "id10270"), folders, strict=True):
        for part, video in (
            (1, "-aaaaaaaaaa/00001"),
            (1, "bbbbbbbbbbb/00001"),
            (2, "ccccccccccc/00007"),
            (3, "d_d/00002"),
        ):
            path = f"{speaker}/{video}.wav"
            sound(source / folder / path, 8.3 if part == 1 else 4.0)
            lines.append(f"{part} {path}")
    (source / "iden_split.txt").write_text("\n".join(lines) + "\n")
    task = task_of("voxceleb1", source, tmp_path / "tasks")
    assert task["train"] == {
        "id10001--aaaaaaaaaa-00001.wav": "id10001", "id10001-bbbbbbbbbbb-00001.wav": "id10001",
        "id10270--aaaaaaaaaa-00001.wav": "id10270", "id10270-bbbbbbbbbbb-00001.wav": "id10270",
    }  # fmt: skip
    assert task["valid"] == {"id10001-ccccccccccc-00007.wav": "id10001", "id10270-ccccccccccc-00007.wav": "id10270"}
    assert set(task["test"]) == {"id10001-d_d-00002.wav", "id10270-d_d-00002.wav"}
    (source / "iden_split.txt").write_text("4 id10001/d_d/00002.wav\n")
    assert "line 1 is '4 id10001/d_d/00002.wav', not '1 idNNNNN/" in refusal("voxceleb1", source)


def test_voxceleb1_lists_speakers_that_are_not_there(tmp_path: Path) -> None:
    source = tmp_path / "voxceleb1"
    lines = [f"{part} id1000{who}/video/0000{part}.wav" for part in (1, 2, 3) for who in (1, 2)]
    (source / "dev" / "wav").mkdir(parents=True)
    (source / "iden_split.txt").write_text("\n".join(lines))
    assert "has no clip; 6 files were left out, the first" in refusal("voxceleb1", source)
    (source / "dev" / "wav").rmdir()
    assert "voxceleb1: has no wav and no dev/wav and no test/wav; accepted" in refusal("voxceleb1", source)


def tar(path: Path, names: list[str], cut: int | None = None) -> None:
    """An upload as VoxForge has them: the text, and a sound for each name that ends in .wav."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix in (".tgz", ".gz") else "w") as file:
        for name in names:
            scratch = path.parent / "scratch.wav"
            sound(scratch, 0.2, 48000)
            info = tarfile.TarInfo(name)
            content = scratch.read_bytes() if name.endswith(".wav") else b"text"
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
            scratch.unlink()
    path.write_bytes(path.read_bytes()[:cut])


def voxforge(source: Path) -> Path:
    """anna is in train, fritz in valid, sven in test; of anonymous uploads day 1 in train, 3 in test, 10 in valid."""
    for language in ("de", "en", "es", "fr", "it", "ru"):
        for speaker in ("anna", "Fritz", "sven"):
            upload = source / language / f"{speaker}-20101212-{language}a"
            sound(upload / "wav" / f"{language}1.wav", 6.0 if speaker == "anna" else 0.1)
    tar(
        source / "de" / "Anna-20110101-xyz.tgz",
        ["Anna-20110101-xyz/etc/PROMPTS", "Anna-20110101-xyz/wav/de1.wav", "Anna-20110101-xyz/wav/de2.wav",
         "Anna-20110101-xyz/wav/._de2.wav", "Anna-20110101-xyz/other/de3.wav"],
    )  # fmt: skip
    tar(source / "de" / "sven-20101212-dea.tgz", ["sven-20101212-dea/wav/de1.wav"])  # unpacked beside it
    mirror = source / "www.repository.voxforge1.org" / "downloads"
    for day in ("01", "03", "10"):
        upload = f"anonymous-200801{day}-abc"
        tar(mirror / "ru" / "Trunk" / "Audio" / "Main" / "16kHz_16bit" / f"{upload}.tgz", [f"./{upload}/wav/ru-1.wav"])
    tar(mirror / "nl" / "Trunk" / "sven-20090101-aaa.tgz", ["sven-20090101-aaa/wav/nl1.wav"])
    sound(source / "wav" / "stray.wav")
    sound(source / "nl" / "it" / "wav" / "nl1.wav")  # Dutch, of a speaker who is called so
    return source


def test_voxforge(tmp_path: Path) -> None:
    source = voxforge(tmp_path / "voxforge")
    tar(source / "it" / "zoe-20100101-cut.tgz", [f"zoe-20100101-cut/wav/{n}.wav" for n in range(9)], cut=2000)
    tar(source / "it" / "zoe-20100102-tar.tar", ["zoe-20100102-tar/wav/1.wav"])
    tar(source / "it" / "zoe-20100103-bad.tar.gz", ["zoe-20100103-bad/flac/1.flac"])
    task = task_of("voxforge", source, tmp_path / "tasks", rejected=2)
    assert {file: label for file, label in task["train"].items() if label in ("de", "it")} == {
        "de-anna-20101212-dea-de1.wav": "de",
        "de-Anna-20110101-xyz-de1.wav": "de", "de-Anna-20110101-xyz-de2.wav": "de",
        "it-anna-20101212-ita-it1.wav": "it", "it-zoe-20100102-tar-1.wav": "it",
    }  # fmt: skip
    assert task["valid"]["ru-anonymous-20080110-abc-ru-1.wav"] == "ru"
    assert task["test"]["ru-anonymous-20080103-abc-ru-1.wav"] == "ru"
    speakers = {split: {file.split("-")[1].lower() for file in files} for split, files in task.items()}
    assert speakers["train"] == {"anna", "anonymous", "zoe"}
    assert speakers["valid"] == {"fritz", "anonymous"} and speakers["test"] == {"sven", "anonymous"}
    assert {label for files in task.values() for label in files.values()} == {"de", "en", "es", "fr", "it", "ru"}
    reasons = {Path(row["path"]).name: row["reason"] for row in rejected_in(tmp_path / "tasks" / "voxforge")}
    assert reasons["zoe-20100101-cut.tgz"].startswith("cannot be read to its end (")
    assert reasons["zoe-20100103-bad.tar.gz"] == "holds no wav/*.wav"


def test_voxforge_is_the_same_again_and_elsewhere(tmp_path: Path) -> None:
    for place in ("one", "other"):
        prepare("voxforge", voxforge(tmp_path / place), tmp_path / place / "tasks", workers=1 if place == "one" else 3)
    assert everything_in(tmp_path / "one" / "tasks") == everything_in(tmp_path / "other" / "tasks")


def test_voxforge_reports_a_damaged_member(tmp_path: Path) -> None:
    source = voxforge(tmp_path / "voxforge")
    with tarfile.open(source / "de" / "zoe-20100101-txt.tgz", "w:gz") as file:
        info = tarfile.TarInfo("zoe-20100101-txt/wav/de9.wav")
        info.size = 4
        file.addfile(info, io.BytesIO(b"text"))
    task_of("voxforge", source, tmp_path / "tasks", rejected=1)
    (row,) = rejected_in(tmp_path / "tasks" / "voxforge")
    assert row["path"].endswith("zoe-20100101-txt.tgz/zoe-20100101-txt/wav/de9.wav")
    assert row["reason"].startswith("cannot be read as audio (") and "/clip" not in row["reason"]


def test_crema_d(tmp_path: Path) -> None:
    source = tmp_path / "CREMA-D"
    emotions = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    for actor in (1001, 1091, 1015, 1010):
        for emotion in emotions:
            sound(source / "AudioWAV" / f"{actor}_DFA_{emotion}_XX.wav", 2.0)
    sound(source / "AudioWAV" / "1040_ITH_SAD_X.wav")  # so it is called
    sound(source / "AudioWAV" / "1092_DFA_ANG_XX.wav")
    (source / "AudioWAV" / "1002_IEO_SAD_LO.wav").write_text("version https://git-lfs.github.com/spec/v1\n")
    task = task_of("crema_d", source, tmp_path / "tasks", rejected=2)
    actors = {split: {file[:4] for file in files} for split, files in task.items()}
    assert actors == {"train": {"1001", "1091"}, "valid": {"1015"}, "test": {"1010", "1040"}}
    assert task["valid"] == {f"1015_DFA_{emotion}_XX.wav": emotion for emotion in emotions}
    left = {Path(row["path"]).name: row["reason"] for row in rejected_in(tmp_path / "tasks" / "crema_d")}
    assert left["1092_DFA_ANG_XX.wav"].startswith("not named ACTOR_SENTENCE_EMOTION_LEVEL")
    assert set(left) == {"1092_DFA_ANG_XX.wav", "1002_IEO_SAD_LO.wav"}


def test_crema_d_has_the_actors_of_tensorflow_datasets() -> None:
    actors = [str(number) for number in range(1001, 1092)]
    np.random.RandomState(0).shuffle(actors)
    assert sorted(actors[63:72]) == CREMA_D_VALID.split() and sorted(actors[72:]) == CREMA_D_TEST.split()
