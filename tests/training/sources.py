"""Tars and tables of sounds, and the clips that are found in them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from selfie_hear.audio import AudioError, stream_audio
from training.corpus.sources import Source, read_clips

RATE = 8000
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as datasets writes it


def wav(count: int, file_format: str = "WAV") -> bytes:
    """A sound of `count` samples 1, 2, 3, ..."""
    file = io.BytesIO()
    soundfile.write(file, np.arange(1, count + 1, dtype=np.int16), RATE, format=file_format, subtype="PCM_16")
    return file.getvalue()


def tar_of(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def table_of(place: Path, audio: list[dict[str, Any] | None], **columns: Any) -> Path:
    table = pa.table({"audio": pa.array(audio, AUDIO), **columns})
    if place.suffix == ".parquet":
        pq.write_table(table, place)
    else:
        with pa.ipc.new_stream(str(place), table.schema) as stream:
            stream.write_table(table)
    return place


def clips_of(path: Path, about: Mapping[str, str] | None = None) -> list[tuple[str, Mapping[str, str], int | str]]:
    """Of each clip the name (from the source's on), what is known of it, and how many samples it has or the reason."""
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    clips = []
    for clip in read_clips(Source(str(path), 0, about or {}), scratch):
        assert clip.name.startswith(str(path))
        if isinstance(clip.file, AudioError):
            result: int | str = str(clip.file)
        else:
            samples = np.concatenate(list(stream_audio(clip.file, RATE))) * 32768
            assert samples.tolist() == list(range(1, len(samples) + 1))
            result = len(samples)
        clips.append((clip.name.removeprefix(str(path)), clip.about, result))
    assert list(scratch.iterdir()) == []
    return clips
