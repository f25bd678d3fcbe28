"""Where and with what a run was made: the columns of `runs` that are recorded, never hashed."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
import sys
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pipeline
from pipeline.installation import code_folder


def provenance() -> dict[str, object]:
    """Collect the provenance of this process.

    Returns:
        Values of the columns host, user, command, git_commit, git_dirty, image_digest,
        python_version and torch_version of `schema.RUNS`; None where something cannot be known. The
        container image is named by LNL_IMAGE_DIGEST, and its code by the commit it was built from.
    """
    commit, changed = _commit(_files_in_use())
    return {
        "host": platform.node(),
        "user": _user(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "git_commit": commit,
        "git_dirty": changed,
        "image_digest": os.environ.get("LNL_IMAGE_DIGEST") or None,
        "python_version": platform.python_version(),
        "torch_version": _installed("torch"),
    }


def _user() -> str | None:
    """Who runs this program; None where the system does not know, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


@lru_cache(maxsize=64)
def _commit(used: frozenset[str]) -> tuple[str | None, bool | None]:
    """Commit of the code that runs and whether the code is another; None where unknown.

    Asked of git anew when more of the code is in use: what is loaded does not change any more.
    """
    top = _git("rev-parse", "--show-toplevel")
    # Code unpacked inside another repository is none of that repository's business.
    if top is not None and Path(top.strip()).resolve() == code_folder():
        commit = _git("rev-parse", "--verify", "HEAD")
        return (commit.strip(), _is_changed(used)) if commit else (None, None)
    # An image holds the code without its history: docker/prepare_project.py leaves this file.
    stamp = code_folder() / ".build-commit"
    built_from = stamp.read_text().strip() if stamp.exists() else ""
    if not built_from:
        return None, None
    return built_from.removesuffix("-dirty"), built_from.endswith("-dirty")


def _is_changed(used: frozenset[str]) -> bool | None:
    """Whether Python files of the commit were changed, or files in use are not part of it.

    Settings (params.yaml, recipes) are no code: each run stores its own, fully resolved.
    """
    listed = _git(
        "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored",
        "--", *_FOLDERS,
    )  # fmt: skip
    if listed is None:
        return None
    resolved = {Path(file).resolve() for file in used}
    entries = [(entry[:2], entry[3:]) for entry in listed.split("\0") if entry.endswith(".py")]
    return any(
        state not in {"??", "!!"} or (code_folder() / path).resolve() in resolved
        for state, path in entries
    )


_FOLDERS = ("pipeline", "methods")
"""Where the code lies that numbers come from."""


def _files_in_use() -> frozenset[str]:
    """The files of this code that are loaded."""
    roots = {code_folder(), Path(pipeline.__file__).parent.parent}
    places = tuple(f"{root / folder}{os.sep}" for root in roots for folder in _FOLDERS)
    # Not by getattr, which lazy modules answer by work of their own.
    modules = [getattr(module, "__dict__", {}) for module in list(sys.modules.values())]
    loaded = [module.get("__file__") for module in modules]
    return frozenset(file for file in loaded if file and file.startswith(places))


def _git(*arguments: str) -> str | None:
    """Answer of git about the code that runs, None outside a repository or without git."""
    # Inside a hook these would name another repository.
    environment = {key: value for key, value in os.environ.items() if key not in _MISLEADING}
    try:
        answer = subprocess.run(
            # Code of another owner is looked at, too; nothing it configures is run.
            ["git", "-c", f"safe.directory={code_folder()}", "-c", "core.fsmonitor=false",
             "-C", str(code_folder()), *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=10,
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


_MISLEADING = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


@cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
