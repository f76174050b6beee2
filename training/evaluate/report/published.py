"""The accuracies that SELFIE's paper gives for linear evaluation (Nguyen et al., tables 2 and 3)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

TITLES = {
    "esc50": "ESC-50", "urbansound8k": "US8K", "speech_commands": "SPCV2", "voxceleb1": "VC1", "voxforge": "VF",
    "crema_d": "CRM-D", "gtzan": "GTZAN", "nsynth": "NSynth", "surge": "Surge",
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A row of the paper.

    Attributes:
        model: as in our tables, with what it was trained on.
        accuracy: task to accuracy in %, of the nine in `TITLES`.
        average: of the nine, in %, as printed there; that of log-mel is 0.1 less than the mean of its row.
    """

    model: str
    accuracy: dict[str, float]
    average: float

    @property
    def name(self) -> str:
        """With a mark that it is the paper's, not ours."""
        return f"{self.model}, published"


def read_published() -> list[Published]:
    """The rows, in the paper's order."""
    with Path(__file__).with_name("published_selfie.csv").open(newline="", encoding="utf-8") as file:
        return [
            Published(row["model"], {task: float(row[task]) for task in TITLES}, float(row["average"]))
            for row in csv.DictReader(file)
        ]
