"""The direction of imports, and what importing the package brings along."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

# Each module may import those on lower floors only.
FLOORS = {
    "selfie_hear.config": 0,
    "selfie_hear.framing": 1, "selfie_hear.frontend": 1, "selfie_hear.pooling": 1,
    "selfie_hear.moment": 1, "selfie_hear.audio": 1, "selfie_hear.hub": 1,
    "selfie_hear.tables": 2, "selfie_hear.encoders.dropout": 1, "selfie_hear.encoders.base": 1,
    "selfie_hear.encoders.input_norm": 1, "selfie_hear.encoders.transformers_extra": 1,
    "selfie_hear.encoders.audio_ntt": 2, "selfie_hear.encoders.strided": 2, "selfie_hear.encoders.three_path_ntt": 3,
    "selfie_hear.encoders.clstm": 3, "selfie_hear.encoders.cvt": 3, "selfie_hear.encoders.efficientnet_b0": 3,
    "selfie_hear.encoders.resnet50": 3, "selfie_hear.encoders.resnetish34": 3, "selfie_hear.encoders": 4,
    "selfie_hear.precision": 1, "selfie_hear.embedder": 5,
    "selfie_hear.pretrained": 6, "selfie_hear.api": 7, "selfie_hear": 8,
    "selfie_hear.onnx": 1, "selfie_hear.export.encoder": 5, "selfie_hear.export.log_mel": 5,
    "selfie_hear.export.pooling": 6, "selfie_hear.export.graph": 7, "selfie_hear.export": 8,
    "selfie_hear.files": 1, "selfie_hear.parquet_rows": 1, "selfie_hear.origin": 6, "selfie_hear.embeddings_file": 7,
    "selfie_hear.corpus.find": 2, "selfie_hear.corpus.manifest": 3, "selfie_hear.corpus.plan": 7,
    "selfie_hear.corpus.decoding": 7, "selfie_hear.corpus.listener": 8, "selfie_hear.corpus.shard": 8,
    "selfie_hear.corpus.ray_cluster": 9, "selfie_hear.corpus.collection": 10, "selfie_hear.corpus": 11,
    "selfie_hear.nearest": 8, "selfie_hear.search": 12,
    "selfie_hear.explore": 0, "selfie_hear.explore.columns": 1, "selfie_hear.explore.layout": 1,
    "selfie_hear.explore.page": 1, "selfie_hear.explore.labels": 2, "selfie_hear.explore.preview": 2,
    "selfie_hear.explore.structure": 2, "selfie_hear.explore.collection": 3, "selfie_hear.explore.gather": 12,
    "selfie_hear.explore.recording": 12,
    "selfie_hear.cli.shared": 13, "selfie_hear.cli.collection": 14, "selfie_hear.cli.similarity": 14,
    "selfie_hear.cli.search": 14, "selfie_hear.cli.explore": 14, "selfie_hear.cli.models": 14,
    "selfie_hear.cli.export": 14, "selfie_hear.cli.embed": 15, "selfie_hear.cli": 16, "selfie_hear.cli.__main__": 17,
}  # fmt: skip
OPTIONAL = {
    "faiss", "filelock", "huggingface_hub", "librosa", "matplotlib", "onnx", "onnxruntime", "pyarrow", "ray", "rich",
    "scipy", "sklearn", "tensorboard", "torchaudio", "transformers", "typer",
}  # fmt: skip


def modules(root: Path, package: str) -> dict[str, Path]:
    found = {}
    for path in (root / package).rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_go_down(root: Path) -> None:
    ours = modules(root, "selfie_hear")
    assert set(ours) == set(FLOORS)
    for name, path in ours.items():
        for imported in imports(path):
            assert not imported.startswith("training"), f"{name} imports {imported}"
            if imported in FLOORS and imported != name:
                assert FLOORS[imported] < FLOORS[name], f"{name} imports {imported}"


def test_training_imports_nothing_upward(root: Path) -> None:
    for name, path in modules(root, "training").items():
        for imported in imports(path):
            assert imported.split(".")[0] != "tests", f"{name} imports {imported}"
            assert imported != "selfie_hear.cli", f"{name} imports {imported}"


def test_importing_loads_nothing_optional_and_says_nothing(tmp_path: Path) -> None:
    code = f"import sys, selfie_hear; print(sorted({OPTIONAL} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []
