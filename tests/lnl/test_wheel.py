"""The wheel works from an empty folder, with the keys that the checkout has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from pipeline.installation import PROGRAMS
from pipeline.results.store import Store
from tests.support.lab import PARAMS
from tests.support.paths import PROJECT
from tests.support.runs import planned, row
from tests.support.wheels import build_wheel, install, packaged_files

pytestmark = pytest.mark.slow
SETTINGS = {"loss": "ce", "noise": "pair-40", "epochs": 2}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("environment") / "venv")


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def do(programs: Path, folder: Path, *words: str) -> str:
    """What a program prints that is started in a folder, as somebody does who has the wheel."""
    named = {k: v for k, v in os.environ.items() if not k.startswith(("LNL_", "PYTHONPATH", "UV"))}
    ended = subprocess.run(
        [programs / words[0], *words[1:]], cwd=folder, env=named | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == packaged_files()
        assert archive.read("lnl/params.yaml") == (PROJECT / "params.yaml").read_bytes()


def test_a_run_from_an_empty_folder_has_the_key_and_the_code_of_the_checkout(
    programs: Path, empty: Path, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "realised rate 0.4" in do(programs, empty, "lnl", "labels", "digits", "pair-40")
    printed = do(programs, empty, "lnl", "run", "robust_loss", "--loss", "ce", "--noise", "pair-40",
                 "--epochs", "2", "--no-tracking")  # fmt: skip
    key = re.search(r"run (r\w{16}) done", printed)[1]
    assert f"this run: lnl runs show {key}" in printed
    assert "all sound" in do(programs, empty, "lnl", "results", "check")
    assert "ce" in do(programs, empty, "lnl", "leaderboard", "--noise", "pair-40")
    assert key in do(programs, empty, "python", "-m", "lnl", "runs", "show", key)
    do(programs, empty, "lnl", "label-errors", "--noise", "pair-40")
    do(programs, empty, "lnl", "report")
    assert "pair-40" in (empty / "results" / "report" / "report.html").read_text()
    assert {path.name for path in empty.iterdir()} == {"data", "labels", "results"}

    shutil.copy(PROJECT / "params.yaml", lab)
    here = planned("robust_loss", **SETTINGS)
    monkeypatch.setenv("LNL_STORE", str(empty / "results" / "store"))
    stored = row(key)
    assert here.key == key
    assert {name: stored[name] for name in here.row} == here.row
    assert (stored["git_commit"], stored["command"].split()[0]) == (None, "lnl")


def test_a_grid_and_python_work_from_the_wheel(programs: Path, empty: Path) -> None:
    assert "params.yaml" in do(programs, empty, "lnl", "init")
    assert (empty / "params.yaml").read_bytes() == (PROJECT / "params.yaml").read_bytes()
    runs = [{"method": "robust_loss", "loss": ["ce"]}]
    grid = PARAMS | {"grid": PARAMS["grid"] | {"runs": runs}}
    (empty / "params.yaml").write_text(yaml.safe_dump(grid))
    done = do(programs, empty, "lnl", "grid", "--no-tracking", "--workers", "1")
    assert "grid tiny: 1 cells; 1 done" in done
    table = "import lnl; print(lnl.leaderboard(grid='tiny').select('label', 'n').rows())"
    assert do(programs, empty, "python", "-c", table) == "[('ce', 1)]\n"
    assert Store(str(empty / "results" / "store")).runs().collect().height == 1


_HELP_OF_ALL = """
import sys
from lnl.command import main, PROGRAMS
for word in PROGRAMS:
    sys.argv = ["lnl", word, "--help"]
    try:
        main()
    except SystemExit as ending:
        assert not ending.code, word
"""


def test_every_program_shows_its_help_from_the_wheel(programs: Path, empty: Path) -> None:
    shown = do(programs, empty, "python", "-c", _HELP_OF_ALL)
    assert [word for word in PROGRAMS if f"usage: lnl {word} " not in shown] == []
    assert "uv run" not in shown
    assert list(empty.iterdir()) == []
