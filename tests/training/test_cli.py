"""`python -m training` as people run it, and what it says to their mistakes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from selfie_hear.pretrained import read_config
from tests.training.processes import Ended, command, finish, in_ranks, start
from tests.training.runs import metrics_of, steps_of
from tests.training.tasks import make_task
from training.__main__ import main
from training.checkpoint import load_latest
from training.recipes import RECIPES


def commands(*lines: tuple[str | Path | int, ...]) -> list[Ended]:
    """Commands one after the other in one process: a job for `in_ranks`."""
    return [command(*line) for line in lines]


def last_step(run: Path) -> int:
    state = load_latest(run / "checkpoints")
    assert state is not None
    return int(state["step"])


def test_pack_train_stop_resume_and_export(audio_folder: Path, tmp_path: Path) -> None:
    """The whole way, the part that is stopped in a process of its own."""
    data, run, release = tmp_path / "pack", tmp_path / "run", tmp_path / "mine"
    ((packing, verified),) = in_ranks(
        1, commands, ("pack", audio_folder, "--out", data, "--workers", 1), ("verify", data)
    )
    assert packing == Ended(0, f"shard 1/1  6 clips  0.00 h  0 min left\n{data}: 6 clips, 0.00 h packed\n")
    assert verified == Ended(0, f"audio-00000.i16\nindex.parquet\n{data}: whole\n")

    train = ("train", "tiny", "--data", data, "--out", run, "--device", "cpu", "--set", "checkpoint_every=1000000")
    process = start(*train, "--max-steps", 1000000)
    while process.poll() is None and not (run / "metrics.jsonl").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended = finish(process)
    assert ended.code == 0 and "SIGTERM: saving" in ended.said
    stopped = last_step(run)
    assert f"{run}: stopped after step {stopped}" in ended.said
    assert steps_of(run) == list(range(1, stopped + 1)) != []

    until = stopped + 2
    ((resumed, exported),) = in_ranks(
        1, commands, (*train, "--max-steps", until), ("export", run, "-o", release, "--licence", "CC0-1.0")
    )
    assert resumed.code == 0, resumed.said
    assert f"tiny: 0.00 h of audio, 12 crops an epoch, fp32 on cpu, step {stopped} of {until}\n" in resumed.said
    assert f"step {until}/{until}  loss " in resumed.said
    assert last_step(run) == until
    assert steps_of(run) == list(range(1, until + 1))
    assert exported.code == 0 and f"{release}: exported" in exported.said
    config = read_config(release)
    assert (config.name, config.licence, config.training["steps_done"]) == ("mine", "CC0-1.0", until)


def test_epochs_init_and_probe(packed: Path, audio_folder: Path, tmp_path: Path) -> None:
    labelled, release = tmp_path / "labelled", tmp_path / "mine"
    for number, label in ((0, "low"), (1, "low"), (2, "high"), (3, "high")):
        (labelled / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(audio_folder / f"{number}.wav", labelled / label)
    common = ("train", "tiny", "--data", packed, "--device", "cpu", "--set", "checkpoint_every=1000")
    initialised = (*common, "--out", tmp_path / "run", "--init", release, "--max-steps", 4)
    probed = ("--probe", labelled, "--probe-every", 3, "--set", "log_every=2")
    (said,) = in_ranks(
        1,
        commands,
        (*common, "--out", tmp_path / "first", "--epochs", 2),
        ("export", tmp_path / "first", "-o", release),
        (*initialised, *probed),
        initialised,
        (*common, "--out", tmp_path / "run"),
        (*initialised, "--set", "model.encoder.options.channels=8", "--out", tmp_path / "other"),
    )
    assert [ended.code for ended in said] == [0, 0, 0, 0, 1, 1], said
    assert steps_of(tmp_path / "first") == [1, 2, 3]  # 2 epochs of 12 crops, 8 at a time
    assert json.loads((tmp_path / "first" / "config.json").read_text())["steps"] == 3

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["init"] == f"mine {read_config(release).sha256['online.safetensors'][:12]}"
    assert [(line["step"], "loss" in line, "knn_online" in line) for line in metrics_of(tmp_path / "run")] == [
        *((2, True, False), (3, False, True), (4, True, False)),
    ]
    assert "step 3/4  crops_per_second " in said[2].said and "knn_target " in said[2].said
    assert "step 4 of 4" in said[3].said
    assert "run with other settings (init of config.json differ)" in said[4].said
    assert said[5].said.startswith(f"error: --init {release}: its model is not the recipe's;")
    assert not (tmp_path / "other").exists()


def test_a_mistake_ends_the_process_with_code_1_and_no_traceback(tmp_path: Path) -> None:
    ended = finish(start("train", "tiny", "--data", tmp_path / "nowhere", "--out", tmp_path / "run"))
    assert ended.code == 1
    assert ended.said.startswith(f"error: {tmp_path / 'nowhere'}: not a folder made by")
    assert "Traceback" not in ended.said
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def place(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what mistakes are made of, and to be in."""
    shutil.copytree(packed, tmp_path / "packed")
    about = json.loads((tmp_path / "packed" / "pack.json").read_text())
    for name in ("old", "short", "damaged"):
        shutil.copytree(packed, tmp_path / name)
    (tmp_path / "old" / "pack.json").write_text(json.dumps({**about, "format_version": 1}))
    samples = (tmp_path / "short" / "audio-00000.i16").read_bytes()
    (tmp_path / "short" / "audio-00000.i16").write_bytes(samples[:-2])
    (tmp_path / "damaged" / "audio-00000.i16").write_bytes(bytes(2) + samples[2:])
    for name in ("empty", "noise", "lonely", "lonely/one"):
        (tmp_path / name).mkdir()
    (tmp_path / "noise" / "a.wav").write_bytes(b"RIFF, but not really")
    (tmp_path / "noise" / "b.flac").write_bytes(b"")
    (tmp_path / "file").write_text("not a folder")
    for name in ("tones", "spoilt"):
        make_task(tmp_path / "tasks" / name, clips=2, seconds=0.01)
    (tmp_path / "tasks" / "spoilt" / "16000" / "fold01" / "01.flac").unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


TRAIN = "train tiny --data packed --out run --device cpu"
LINEAR = "linear --tasks-dir tasks --cache cache"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("train nope --data packed --out run", "recipe 'nope' is unknown; known recipes are selfie, selfie3_open10h, "),
        (
            f"{TRAIN} --set bach=4",
            "--set: unknown key 'bach'; known keys are model.*sampling.by, .*batch, ",
        ),
        (f"{TRAIN} --set batch=many", "--set.batch: expected int, got 'many'"),
        (f"{TRAIN} --set batch", "--set 'batch': expected key=value"),
        (f"{TRAIN} --set batch=0", "batch: must be at least 1, got 0"),
        (f"{TRAIN} --set accumulate=3", "batch: must be a multiple of accumulate and at least twice that.* 8 and 3"),
        (f"{TRAIN} --set precision=fp8", "precision: 'fp8' is unknown; known are auto, bf16, fp32"),
        (f"{TRAIN} --set objective=bjol", "objective 'bjol' is unknown; known are selfie"),
        (f"{TRAIN} --epochs 0", "--epochs 0.0: must be a positive number"),
        (f"{TRAIN} --epochs nan", "--epochs nan: must be a positive number"),
        (f"{TRAIN} --set recipe=mine", "--set: unknown key 'recipe'; known keys are "),
        (f"{TRAIN} --device nonsense", "--device nonsense: "),
        (f"{TRAIN} --device cuda:99", "--device cuda:99: "),
        (f"{TRAIN} --init nowhere", "nowhere: no such folder; accepted are a release folder, a bundled name"),
        (f"{TRAIN} --init empty", "empty: "),
        (f"{TRAIN} --probe nowhere", "nowhere: no such folder; accepted is a multiclass scene task .*, or a folder "),
        (f"{TRAIN} --probe lonely", "lonely: clips of 0 labels, two or more are needed"),
        (f"{TRAIN} --probe packed --probe-every 0", "a probe every 0 steps; 1 or more are needed"),
        ("train tiny --data nowhere --out run", "nowhere: not a folder made by `python -m training pack`"),
        ("train tiny --data old --out run", "old: pack format 1, this version reads 2; pack again"),
        ("train tiny --data short --out run", "short/audio-00000.i16: missing or not 336000 bytes long"),
        ("train tiny --data packed --out file", "file: is a file; name a folder for the run"),
        ("pack nowhere --out new", "nowhere: no such file, and no audio files in a folder .*; packed are manifests"),
        ("pack empty --out new", "empty: .*; packed are manifests"),
        ("pack noise --out new --workers 1", "none of the 2 files could be read; the first reason: noise/a.wav: "),
        ("pack packed --out old", "old: exists already; name a new folder"),
        ("verify nowhere", "nowhere: not a folder made by"),
        ("verify damaged", "damaged/audio-00000.i16: damaged, its SHA-256 is not the one in pack.json"),
        ("export nowhere -o new", "nowhere: has no checkpoint to export"),
        ("export packed -o old", "old: exists already; a release is never overwritten"),
        ("linear log-mel --tasks-dir nowhere", "nowhere: holds no scene tasks"),
        (f"{LINEAR} log-mel untrained log-mel", "log-mel: named twice; models in one table need different names"),
        ("linear log-mel --tasks-dir empty --json nowhere/scores.json", "--json .*: the folder nowhere "),
        (f"{LINEAR} log-mel --seeds 0", "linear: .*seeds must be positive, got .*seeds=0"),
        (f"{LINEAR} log-mel --task tones --task tunes", "tasks/tunes: no such task"),
        (
            f"{LINEAR} log-mel --task spoilt",
            "tasks/spoilt/16000/fold01/01.flac: no such file, though fold01.json lists",
        ),
        (f"{LINEAR} log-mell --task tones", "log-mell: no such folder; accepted are a release folder, a bundled name"),
        (f"{LINEAR} log-mel --task tones --module nowhere", "module 'nowhere': cannot be imported"),
        (f"{LINEAR} log-mel --task tones --module json", "module 'json': does not speak the HEAR API, it has no load_"),
        (
            f"{LINEAR} --task tones --module selfie_hear:[1]",
            "--module selfie_hear:.1.: expected NAME or NAME:{JSON obj",
        ),
        (
            f'{LINEAR} --task tones --module selfie_hear:{{"bench":1}}',
            "selfie_hear:.*: its load_model does not .*'bench'",
        ),
        (f'{LINEAR} --task tones --module selfie_hear:{{"branch":"x"}}', "branch 'x' is unknown; branches are online"),
    ],
)
def test_mistakes_are_explained_and_change_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str, complaint: str
) -> None:
    """In this process, which is faster than one each."""
    before = sorted(place.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["training", *arguments.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().err
    assert caught.value.code == 1, said
    assert re.search(rf"^error: {complaint}", said, re.MULTILINE), said
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (f"{TRAIN} --max-steps 0", "Invalid value for '--max-steps'"),
        (f"{TRAIN} --max-steps many", "Invalid value for '--max-steps'"),
        ("train tiny --data packed", "Missing option '--out'"),
        ("pack packed --out new --sample-rate 0", "Invalid value for '--sample-rate'"),
        ("trian tiny", "No such command 'trian'"),
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_code_2(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: str, complaint: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *arguments.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not (place / "run").exists() and not (place / "new").exists()


def test_recipes_lists_every_recipe_with_its_encoder_batch_and_paper(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout, to search through."""
    monkeypatch.setattr(sys, "argv", ["training", "recipes"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert re.findall(r"^(\w+): ", said, re.MULTILINE) == list(RECIPES)
    assert re.search(r"^byol_s_cvt: .*\n    cvt, batch 256\n    Elbanna et al.*; on .*AudioSet", said, re.MULTILINE)
