"""Provenance: the commit of the code that runs, and whether it is that code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.results import provenance as provenance_module
from pipeline.results.provenance import provenance
from pipeline.results.store import Store
from tests.support.results_builder import run_row


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Code of a laboratory, committed: the code that runs, as far as git is asked."""
    root = tmp_path / "lab"
    for name in (
        "pipeline/__init__.py",
        "methods/sln.py",
        "methods/recipes/sln.yaml",
        "params.yaml",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (root / ".gitignore").write_text("__pycache__\nmethods/private.py\n")
    monkeypatch.setattr(provenance_module.pipeline, "__file__", str(root / "pipeline/__init__.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return root


def commit(folder: Path) -> str:
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "code")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def recorded() -> tuple[object, object]:
    provenance_module._commit.cache_clear()  # as in a new program
    columns = provenance()
    return columns["git_commit"], columns["git_dirty"]


def test_provenance_fits_the_runs_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setenv("LNL_IMAGE_DIGEST", "sha256:1")
    monkeypatch.setattr("sys.argv", ["/somewhere/robust_loss.py", "--loss", "a b"])
    columns = provenance()
    assert columns["image_digest"] == "sha256:1"
    assert columns["command"] == "robust_loss.py --loss 'a b'"
    store.write_run(run_row() | columns)
    assert store.runs().collect()["torch_version"].item() == columns["torch_version"]


def test_changed_code_is_dirty_and_changed_settings_are_not(checkout: Path) -> None:
    assert recorded() == (None, None)
    head = commit(checkout)
    assert recorded() == (head, False)
    (checkout / "params.yaml").write_text("run: {}")
    (checkout / "methods/recipes/sln.yaml").write_text("a: 1")
    (checkout / "methods/recipes/mine.yaml").write_text("a: 1")
    (checkout / "notes.py").write_text("")
    assert recorded() == (head, False)
    (checkout / "methods/sln.py").write_text("changed = True")
    assert recorded() == (head, True)
    git(checkout, "add", "methods/sln.py")
    assert recorded() == (head, True)
    git(checkout, "reset", "-q", "--hard")
    (checkout / "pipeline/__init__.py").unlink()
    assert recorded() == (head, True)


@pytest.mark.parametrize("name", ["mine.py", "private.py", "mine é.py", "new/loss.py"])
def test_an_untracked_file_is_dirty_code_once_it_is_used(
    checkout: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = commit(checkout)
    mine = checkout / "methods" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("")
    assert recorded() == (head, False)
    module = ModuleType("mine")
    module.__file__ = str(mine)
    monkeypatch.setitem(sys.modules, "mine", module)
    assert recorded() == (head, True)
    git(checkout, "add", "-f", ".")
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "mine")
    assert recorded()[1] is False


def test_code_inside_another_repository_is_not_of_that_repository(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = commit(checkout.parent)
    assert git(checkout, "rev-parse", "HEAD") == outer
    assert recorded() == (None, None)
    monkeypatch.setenv("GIT_DIR", str(checkout.parent / ".git"))
    assert recorded() == (None, None)
    (checkout / ".build-commit").write_text("abc-dirty\n")
    assert recorded() == ("abc", True)


def test_without_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(checkout)
    monkeypatch.setenv("PATH", str(checkout))
    assert recorded() == (None, None)
