"""A pack that was begun and stopped: gone on with as what it was begun, and refused as anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.packs import RATE, content_of, names_in, of_clips, ramp, ramps
from training.corpus.pack import Progress, pack
from training.corpus.shards import PackError, shard_name


class Stop(Exception):  # noqa: N818
    pass


def stop(_: Progress) -> None:
    raise Stop


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Sources for four shards, the pack of them, and the name of one that stopped after the first shard."""
    audio = ramps(tmp_path / "audio", 7)
    pack([audio], tmp_path / "clean", RATE, workers=1, shard_bytes=of_clips(2))
    with pytest.raises(Stop):
        pack([audio], tmp_path / "out", RATE, workers=1, shard_bytes=of_clips(2), report=stop)
    return audio, tmp_path / "clean", tmp_path / "out"


def test_a_pack_that_stopped_is_not_there_and_goes_on(begun: tuple[Path, Path, Path]) -> None:
    audio, clean, out = begun
    assert not out.exists()
    seen: list[Progress] = []
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2), report=seen.append)
    assert [now.shards_done for now in seen] == [1, 2, 3, 4]
    assert [now.clips for now in seen] == [2, 4, 6, 7]
    assert content_of(out) == content_of(clean)
    assert names_in(out.parent) == ["audio", "clean", "out"]


def add(audio: Path) -> None:
    ramp(audio / "new.wav", 0, 10)


def lengthen(audio: Path) -> None:
    ramp(audio / "006.wav", 0, 101)


def remove(audio: Path) -> None:
    (audio / "006.wav").unlink()


def rename(audio: Path) -> None:
    (audio / "006.wav").rename(audio / "007.wav")


@pytest.mark.parametrize("change", [add, lengthen, remove, rename])
def test_what_was_begun_with_other_sources_is_refused(
    begun: tuple[Path, Path, Path], change: Callable[[Path], None]
) -> None:
    audio, _, out = begun
    change(audio)
    left = content_of(out.with_name(".out.packing"))
    with pytest.raises(
        PackError, match=r"out: was begun with other sources or settings; .* or delete .*\.out\.packing"
    ):
        pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    assert content_of(out.with_name(".out.packing")) == left


@pytest.mark.parametrize(("sample_rate", "shard_bytes"), [(RATE // 2, of_clips(2)), (RATE, of_clips(3))])
def test_what_was_begun_with_other_settings_is_refused(
    begun: tuple[Path, Path, Path], sample_rate: int, shard_bytes: int
) -> None:
    audio, _, out = begun
    with pytest.raises(PackError, match="was begun with other sources or settings; repeat those"):
        pack([audio], out, sample_rate, workers=1, shard_bytes=shard_bytes)


def test_what_was_begun_with_other_columns_is_refused(tmp_path: Path) -> None:
    ramp(tmp_path / "a.wav", 0, 10)
    for licence in ("CC0-1.0", "CC-BY-4.0"):
        (tmp_path / "a.csv").write_text(f"path,licence\na.wav,{licence}\n")
        with pytest.raises(Stop if licence == "CC0-1.0" else PackError):
            pack([tmp_path / "a.csv"], tmp_path / "out", RATE, workers=1, report=stop)


def test_deleting_what_was_begun_begins_anew(begun: tuple[Path, Path, Path]) -> None:
    audio, _, out = begun
    for path in (folder := out.with_name(".out.packing")).iterdir():
        path.unlink()
    folder.rmdir()
    add(audio)
    assert pack([audio], out, RATE, workers=1).clips == 8


def test_half_a_shard_and_leftovers_of_killed_processes_are_done_again(begun: tuple[Path, Path, Path]) -> None:
    """Killed between a shard and its part of the index, and while others were being written."""
    audio, clean, out = begun
    folder = out.with_name(".out.packing")
    (folder / "index-00000.parquet").unlink()
    (folder / shard_name(0)).write_bytes(b"not what belongs here")
    leftovers = [folder / f".{shard_name(1)}.partial-0", folder / ".tmp-a-clip-out-of-a-tar"]
    for path in leftovers:
        path.write_bytes(b"half")
    found: list[bool] = []
    pack([audio], out, RATE, 2, lambda _: found.extend(path.exists() for path in leftovers), of_clips(2))
    assert not any(found)  # gone at once: there may be no room for both
    assert content_of(out) == content_of(clean)


def test_killed_before_it_got_its_name_it_only_gets_its_name(
    begun: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, clean, out = begun
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Path, "rename", lambda *_: stop(Progress(0, 0, 0, 0, 0)))
        pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    shards = {path.name: path.stat().st_mtime_ns for path in out.with_name(".out.packing").glob("*.i16")}
    assert len(shards) == 4
    pack([audio], out, RATE, workers=1, shard_bytes=of_clips(2))
    assert content_of(out) == content_of(clean)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.i16")} == shards
