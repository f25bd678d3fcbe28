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
        image is named by LNL_IMAGE_DIGEST.
    """
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return {
        "host": platform.node(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": commit,
        "git_dirty": None if changes is None else bool(changes),
        "image_digest": os.environ.get("LNL_IMAGE_DIGEST"),
        "python_version": platform.python_version(),
        "torch_version": _installed("torch"),
    }


def _git(*arguments: str) -> str | None:
    """Answer of git about the code that runs, None outside a repository or without git."""
    code = Path(pipeline.__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(code), *arguments],
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
