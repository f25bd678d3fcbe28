"""The commands that a user types, started as programs, or here."""

import functools
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files import methods_folder
from tests.support.paths import PROJECT

PYTHON = sys.executable
SCRIPT = str(methods_folder() / "robust_loss.py")


def start(
    *words: str, lab: Path, cwd: Path | None = None, own_group: bool = False
) -> subprocess.Popen:
    """Start a program on a laboratory folder, if asked as a process group of its own."""
    environment = os.environ | {"LNL_ROOT": str(lab), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=cwd or lab, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=own_group,
    )  # fmt: skip


def finish(*words: str, lab: Path, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a program to its end: exit code, what it printed, what it complained of."""
    program = start(*words, lab=lab, cwd=cwd)
    out, err = program.communicate(timeout=180)
    return program.returncode, out, err


def run_here(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a script of the project, or `-m MODULE`, with its arguments in this process."""
    is_module = words[0] == "-m"
    name, *arguments = words[1:] if is_module else words
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    run = functools.partial(runpy.run_module, alter_sys=True) if is_module else runpy.run_path
    run(name if is_module else str(PROJECT / name), run_name="__main__")


def launch(n_processes: int, *flags: str, method: str = "robust_loss") -> list[str]:
    """The words that start a method script on CPU processes through Accelerate."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    many = ["--multi_gpu"] if n_processes > 1 else []
    return [
        PYTHON, "-m", "accelerate.commands.launch", *many, "--num_processes", str(n_processes),
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", str(port), str(methods_folder() / f"{method}.py"), *flags,
    ]  # fmt: skip
