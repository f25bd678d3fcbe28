"""Every step of the tutorials, as a reader takes it, in a copy of the project."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.support.paths import PROJECT
from tests.support.printed import steps_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
_PARTS = (
    "analysis",
    "docker",
    "experiments",
    "methods",
    "pipeline",
    "tests",
    "params.yaml",
    "pyproject.toml",
)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as a fresh clone has it: nothing made, nothing stored."""
    for name in ("LNL_STORE", "LNL_SHARED", "LNL_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    unwanted = shutil.ignore_patterns("__pycache__", ".env")
    for part in _PARTS:
        source, copy = PROJECT / part, tmp_path / part
        if source.is_dir():
            shutil.copytree(source, copy, ignore=unwanted)
        else:
            shutil.copy(source, copy)
    return tmp_path


def follow(tutorial: str, clone: Path) -> None:
    """Take the steps of a tutorial one after the other."""
    for step in steps_of(PROJECT / "docs" / "tutorials" / f"{tutorial}.md"):
        file = clone / step.subject
        match step.action:
            case "Write":
                file.write_text(step.block)
            case "Change":
                file.write_text(changed(file.read_text(), step.block))
            case "Run":
                run(step.subject, clone)


def changed(text: str, diff: str) -> str:
    """A text with the changes of a diff, whose pieces are told apart by @@ alone."""
    for piece in diff.split("@@\n"):
        lines = piece.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in f" {sign}") for sign in "-+")
        assert text.count(old) == 1, f"{text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    return text


def run(command: str, clone: Path) -> None:
    """Run a command that a page prints, with the packages of this environment."""
    words = shlex.split(command, comments=True)
    assert words[:2] == ["uv", "run"], command
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
        "OMP_NUM_THREADS": "1",
    }
    ended = subprocess.run(
        [programs / words[2], *words[3:]],
        cwd=clone, env=environment, text=True, capture_output=True, check=False, timeout=900,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"


def runs_in(clone: Path) -> pl.DataFrame:
    """The rows that a tutorial has left in the store."""
    return pl.concat(
        [pl.read_parquet(file) for file in (clone / "results/store/runs").glob("*.parquet")],
        how="diagonal_relaxed",
    )


def test_a_method_of_ones_own(clone: Path) -> None:
    follow("own_method", clone)
    rows = runs_in(clone)
    assert set(rows["status"]) == {"done"}
    own = rows.filter(method="trust")
    assert set(own["version"]) == {1, 2}
    # Two epochs by flag, three seeds, the other version; one seed is the run with the recipe.
    assert len(own) == 1 + 3 + 1
    in_grid = rows.filter((pl.col("version") == 1) & (pl.col("epochs") == 25))
    last = {
        method: pl.read_parquet(
            [clone / f"results/store/epochs/{key}.parquet" for key in keys["key"]]
        ).filter(epoch=24)["test_accuracy"].mean()
        for (method,), keys in in_grid.group_by("method")
    }  # fmt: skip
    # The page says that it helps: by far more than seeds differ.
    assert last["trust"] > last["robust_loss"] + 0.05


def test_label_noise_of_ones_own(clone: Path) -> None:
    follow("own_noise", clone)
    (row,) = runs_in(clone).iter_rows(named=True)
    # The page says that the second way gives the labels of the first: one run under two names.
    assert (row["noise"], row["status"]) == ("faint", "done")
    assert row["also_named"] == ["digits/faint-30"]
    for noise in ("faint", "faint-30"):
        card = json.loads((clone / "labels" / "digits" / noise / "card.json").read_text())
        assert card["realised_rate"] == pytest.approx(0.286, abs=0.0005)
