"""Where and with what a run was made: the columns of `runs` that are recorded, never hashed."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pipeline


def provenance() -> dict[str, object]:
    """Collect the provenance of this process.

    Returns:
        Values of the columns host, command, git_commit, git_dirty, image_digest, python_version
        and torch_version of `schema.RUNS`; None where something cannot be known. The container
        image is named by LNL_IMAGE_DIGEST, and its code by the commit it was built from.
    """
    commit, changed = _commit()
    return {
        "host": platform.node(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": commit,
        "git_dirty": changed,
        "image_digest": os.environ.get("LNL_IMAGE_DIGEST") or None,
        "python_version": platform.python_version(),
        "torch_version": _installed("torch"),
    }


def _commit() -> tuple[str | None, bool | None]:
    """Commit of the code that runs and whether it was changed since; None where unknown."""
    commit = _git("rev-parse", "HEAD")
    if commit:
        changes = _git("status", "--porcelain", "--untracked-files=no")
        return commit, None if changes is None else bool(changes)
    # An image holds the code without its history: docker/prepare_project.py leaves this file.
    stamp = _code().parent / ".build-commit"
    built_from = stamp.read_text().strip() if stamp.exists() else ""
    if not built_from:
        return None, None
    return built_from.removesuffix("-dirty"), built_from.endswith("-dirty")


def _code() -> Path:
    return Path(pipeline.__file__).resolve().parent


def _git(*arguments: str) -> str | None:
    """Answer of git about the code that runs, None outside a repository or without git."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(_code()), *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
