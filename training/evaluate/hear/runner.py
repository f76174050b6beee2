"""hear-validator and the two runners of heareval, unmodified, on one model and one task; what is done is not redone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.evaluate.hear import probe as hear_probe
from training.evaluate.hear.environment import HearEnvironment
from training.evaluate.hear.folder import HearFolder
from training.evaluate.hear.tools import HearError, Report, run_tool
from training.evaluate.models import BASELINES, ModelSpec
from training.files import write_whole

GRIDS = ("default", "fast", "faster")
GRID_POINTS = 8  # heareval's default
EMBEDDED, PREDICTED, SCORES = ".done.embeddings", "prediction-done.json", "test.predicted-scores.json"  # heareval's


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be loaded in the environment.

    Attributes:
        sample_rate: Hz.
        digest: of all that decides its embeddings.
    """

    spec: ModelSpec
    sample_rate: int
    digest: str

    @property
    def label(self) -> str:
        """For files: readable, and of this model alone."""
        return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', self.spec.name)[:60]}-{self.digest[:12]}"


class HearRunner:
    """The tools of an environment on the tasks of a folder.

    heareval names its embeddings by the module and the options and takes what is there for done, whatever the weights,
    the code, the clips or the grid were. So each model and each state of a task get a folder of their own in
    `embeddings`, and each grid a file of scores.
    """

    def __init__(self, environment: HearEnvironment, out: Path, lock: int, report: Report) -> None:
        """
        Args:
            out: gets the folders `embeddings` and `logs`.
            lock: a descriptor for the tools to keep open: that of the lock of `out`.
        """
        self._environment, self._out, self._lock, self._report = environment, out.absolute(), lock, report
        self._modules = self._out / ".modules"
        _copy_baselines(self._modules)

    def load(self, spec: ModelSpec) -> LoadedModel:
        """Load a model in the environment, to see that it can be and to know it again.

        Raises:
            HearError: it cannot be.
        """
        if spec.path and not Path(spec.path).exists():
            raise HearError(f"{spec.name}: no such file or folder: {spec.path}; hear-eval-kit takes paths only")
        spec = replace(spec, path=str(Path(spec.path).absolute()) if spec.path else "")
        label = re.sub(r"[^A-Za-z0-9.-]+", "_", spec.name)[:60]
        found = self._out / "logs" / f"{label}.probe.json"
        words: list[str | Path] = [found, spec.module, spec.path, json.dumps(dict(spec.options))]
        command: list[str | Path] = ["python", "-c", Path(hear_probe.__file__).read_text(), *words]
        self._run(f"{label}-probe", spec, command, f"{spec.name}: loading it")
        about = json.loads(found.read_text())
        found.unlink()
        if "error" in about:
            pip = self._environment.program("pip")
            raise HearError(f"module {spec.module!r}: {about['error']}; to install it there: {pip} install ...")
        return LoadedModel(spec, about["sample_rate"], about["digest"])

    def validate(self, model: LoadedModel) -> dict[str, Any]:
        """What hear-validator says of the module and its weights; it cannot give options to `load_model`."""
        kept = self._out / "embeddings" / model.label / "validation.json"
        if kept.is_file():
            known: dict[str, Any] = json.loads(kept.read_text())
            return known
        self._report(f"{model.spec.name}: hear-validator")
        words = [model.spec.module, *(["--model", model.spec.path] if model.spec.path else [])]
        name, passed = f"{model.label}-validator", True
        try:
            self._run(name, model.spec, ["hear-validator", *words], f"{model.spec.name}: hear-validator")
        except HearError as error:
            passed = False  # a judgement, not the end: heareval may take it all the same
            self._report(str(error))
        text = self._log(name).read_text(encoding="utf-8", errors="replace")
        warnings = re.findall(r"validate\.py:\d+: UserWarning: +(?!IMPORTANT)(\S.*)", text)
        found = {"passed": passed, "warnings": warnings}
        if passed:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, json.dumps(found) + "\n")
        return found

    def judge(self, model: LoadedModel, task: HearFolder, grid: str, grid_points: int) -> dict[str, Any]:
        """Scores of a task as heareval writes them, under "scores", and what they took, "seconds".

        Raises:
            HearError: a tool fails, or an embedding is not finite.
        """
        place = self._out / "embeddings" / model.label / f"{task.name}-{task.digest(model.sample_rate)[:12]}"
        kept = place / f"scores-{grid}-{grid_points}.json"
        if not kept.is_file():
            embedded = self._embed(model, task, place)
            for left in (PREDICTED, SCORES):  # of another grid, or of a process that was killed
                (embedded / left).unlink(missing_ok=True)
            self._report(f"{model.spec.name}: {task.name}: predictions")
            words: list[str | Path] = [embedded, "--grid", grid, "--grid-points", str(grid_points)]
            name, what = f"{model.label}-{task.name}-predictions", f"{model.spec.name}: {task.name}: predictions"
            self._run(name, model.spec, ["python", "-m", "heareval.predictions.runner", *words], what)
            shutil.rmtree(embedded / "lightning_logs", ignore_errors=True)  # checkpoints of each grid point
            self._environment.check_unchanged()
            scores = json.loads((embedded / SCORES).read_text())
            seconds = {
                "embeddings": json.loads((embedded / "profile.embeddings.json").read_text())["time_elapsed"],
                "predictions": json.loads((embedded / PREDICTED).read_text())["time"],
            }
            write_whole(kept, json.dumps({"scores": scores, "seconds": seconds}, indent=1) + "\n")
        found: dict[str, Any] = json.loads(kept.read_text())
        return found

    def _embed(self, model: LoadedModel, task: HearFolder, place: Path) -> Path:
        if (done := _find_embedded(place, task)) is None:
            task.check_clips(model.sample_rate)
            self._report(f"{model.spec.name}: {task.name}: embeddings")
            spec = model.spec
            # The untrained encoder is normalised by the audio of the task.
            path = str(task.folder / str(model.sample_rate)) if spec.module == BASELINES["untrained"] else spec.path
            words: list[str | Path] = [
                spec.module, "--tasks-dir", task.folder.parent, "--task", task.name, "--embeddings-dir", place,
                "--model-options", json.dumps(dict(spec.options)), *(["--model", path] if path else []),
            ]  # fmt: skip
            name, what = f"{model.label}-{task.name}-embeddings", f"{spec.name}: {task.name}: embeddings"
            place.mkdir(parents=True, exist_ok=True)
            self._run(name, spec, ["python", "-m", "heareval.embeddings.runner", *words], what)
            try:
                self._environment.check_unchanged()
            except HearError:
                shutil.rmtree(place)  # whose embeddings these are cannot be known
                raise
            if (done := _find_embedded(place, task)) is None:
                raise HearError(f"{what}: heareval said nothing but left nothing in {place}; see {self._log(name)}")
        for split, clips in task.splits.items():
            for clip in clips:
                if not np.isfinite(np.load(done / split / f"{clip}.embedding.npy")).all():
                    clip_path = task.folder / str(model.sample_rate) / split / clip
                    raise HearError(f"{model.spec.name}: its embedding of {clip_path} is not finite")
        return done

    def _log(self, name: str) -> Path:
        return self._out / "logs" / f"{name}.log"

    def _run(self, name: str, spec: ModelSpec, command: Sequence[str | Path], what: str) -> None:
        ours = spec.module.partition(".")[0] == "training"
        variables = self._environment.variables(self._modules if ours else None) | {
            # Else heareval refuses a CUDA build of torch beside tensorflow-cpu.
            "CUDA_VISIBLE_DEVICES": "",
            # Else torch does not read the checkpoints of pytorch-lightning 1.8, which are our own.
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        }
        program, *words = command
        run_tool([self._environment.program(str(program)), *words], self._log(name), variables, what, self._lock)


def _find_embedded(place: Path, task: HearFolder) -> Path | None:
    """heareval's folder of a task, MODULE-OPTIONS/TASK; there is one at most, as `place` is of one model."""
    folders = [path / task.name for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return next((folder for folder in folders if (folder / EMBEDDED).is_file()), None)


def _copy_baselines(modules: Path) -> None:
    """Our baselines, which no wheel has, without the rest of the checkout: its selfie_hear would hide the installed."""
    shutil.rmtree(modules, ignore_errors=True)
    evaluate = Path(__file__).parents[1]
    for folder in (evaluate.parent, evaluate, evaluate / "baselines"):
        into = modules / folder.relative_to(evaluate.parents[1])
        into.mkdir(parents=True)
        for path in folder.glob("__init__.py" if folder.name != "baselines" else "*.py"):
            shutil.copyfile(path, into / path.name)
