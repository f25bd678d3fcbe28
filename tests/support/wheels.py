"""The wheel of this code, in an environment of its own that shares the libraries of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.paths import PROJECT

_PACKAGES = ("lnl", "pipeline", "methods", "analysis")


def packaged_files() -> set[str]:
    """Files of the packages, by their path from the project folder; caches are none."""
    return {
        path.relative_to(PROJECT).as_posix()
        for name in _PACKAGES
        for path in (PROJECT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a copy of the sources, so that nothing is left among them.

    The backend of pyproject.toml builds it, from what is installed here: no network is asked.
    """
    sources = folder / "sources"
    for name in _PACKAGES:
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, sources / name, symlinks=True, ignore=hidden)
    for name in ("pyproject.toml", "README.md", "params.yaml"):
        shutil.copy(PROJECT / name, sources)
    _do("build", "--quiet", "--wheel", "--no-build-isolation", "--offline",
        "--python", sys.executable, "--out-dir", str(folder), cwd=sources)  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, environment: Path) -> Path:
    """Install a wheel into a new environment, and nothing else: the libraries are those of here.

    Returns:
        The folder of its programs.
    """
    _do("venv", "--quiet", "--offline", "--python", sys.executable, str(environment))
    _do("pip", "install", "--quiet", "--offline", "--no-deps", "--no-compile-bytecode",
        "--python", str(environment), str(wheel))  # fmt: skip
    (packages,) = environment.glob("lib/python*/site-packages")
    # What a .pth names is searched as it is: the checkout, which is installed there, is not found.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def _do(*words: str, cwd: Path | None = None) -> None:
    uv = os.environ.get("UV") or "uv"
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([uv, *words], cwd=cwd, env=outside, check=True)
