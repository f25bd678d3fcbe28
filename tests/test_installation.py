"""Where the code lies, and what is typed there."""

from __future__ import annotations

import ast

import pytest

import pipeline
from pipeline.errors import LabError
from pipeline.installation import PROGRAMS, as_typed, code_folder, is_checkout
from tests.support.paths import PROJECT


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The code as a wheel installs it, among other packages."""
    packages = tmp_path / "site-packages"
    monkeypatch.setattr(pipeline, "__file__", str(packages / "pipeline" / "__init__.py"))
    return packages


def test_a_checkout_types_what_readme_says():
    assert is_checkout()
    assert code_folder() == PROJECT
    assert as_typed("uv run dvc repro") == "uv run dvc repro"


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("uv run python analysis/leaderboard.py --by lr", "lnl leaderboard --by lr"),
        ("so: uv run python -m pipeline.stages.noise digits x", "so: lnl labels digits x"),
        ("uv run python -m pipeline.results check, which", "lnl results check, which"),
        ("uv run python -m pipeline.stages.runs, which", "lnl grid, which"),
        ("uv run python -m pipeline.stages.sources", "python -m pipeline.stages.sources"),
        ("uv run accelerate launch methods/sln.py --seed 1", "lnl run sln --seed 1"),
        ("uv run accelerate launch", "accelerate launch"),
        ("rm x && uv run dvc repro runs", "rm x && lnl grid"),
        ("uv run dvc reproduce", "dvc reproduce"),
        ("uv run mlflow ui, then", "mlflow ui, then"),
        ('uv run python -c "import numpy"', 'python -c "import numpy"'),
        ("uv run lnl labels --help", "lnl labels --help"),
        ("a smaller batch", "a smaller batch"),
    ],
)  # fmt: skip
def test_a_wheel_types_lnl(installed, text, typed):
    assert not is_checkout()
    assert code_folder() == installed
    assert as_typed(text) == typed
    assert str(LabError("given", "allowed", text)).endswith(f"try: {typed}")


def test_no_message_of_a_wheel_names_what_only_a_checkout_has(installed):
    texts = [
        node.value
        for room in ("pipeline", "analysis", "methods", "lnl")
        for path in sorted((PROJECT / room).rglob("*.py"))
        if b"uv run " in path.read_bytes()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    commands = [" ".join(text.split()) for text in texts if "uv run " in text]
    assert len(commands) > 50
    for text in map(as_typed, commands):
        assert "uv run " not in text
        assert "python analysis/" not in text
        assert "python -m pipeline.results" not in text


@pytest.mark.parametrize("word", PROGRAMS)
def test_every_program_has_a_main(word):
    file = PROJECT / f"{PROGRAMS[word].module.replace('.', '/')}.py"
    assert "\n@program\ndef main() -> None:\n" in file.read_text()
    assert PROGRAMS[word].says.endswith(".")
