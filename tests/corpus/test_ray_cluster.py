"""A real Ray on this machine: the same plan gives the same table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
import torch

from selfie_hear.tables import TableError
from tests.corpus.conftest import content, embed


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or it keeps a token in the home folder
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2 * torch.get_num_threads(), include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def test_the_same_table_as_here_going_on_with_what_was_done_here(sounds: Path, whole: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out")
    for number in (0, 2):
        (tmp_path / "out" / f"part-0000{number}.parquet").unlink()
    seen: list[int] = []
    done = embed(sounds, tmp_path / "out", engine="ray", workers=None, report=lambda p: seen.append(p.files_done))
    assert (done.files, done.failed, done.resumed) == (9, 2, True)
    assert seen == [3, 6, 9]
    assert content(tmp_path / "out") == content(whole)


def test_what_fails_on_the_cluster_is_told(sounds: Path, tmp_path: Path) -> None:
    embed(sounds, tmp_path / "out")
    (tmp_path / "out" / "part-00001.parquet").unlink()
    (tmp_path / "out" / "_files.parquet").unlink()
    with pytest.raises(TableError, match=r"(?s)Ray gave up; the same command goes on.*_files.parquet"):
        embed(sounds, tmp_path / "out", engine="ray")
