"""A launched run that is stopped in its middle: its processes, its checkpoint, its end."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.results.store import Store
from tests.support.programs import launch, start

SECONDS = 120


def until(reached: Callable[[], bool], what: str) -> None:
    """Wait for something that has to happen."""
    end = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)


def checkpoints(lab: Path) -> dict[str, int]:
    """Name and time of writing of the checkpoints in the store."""
    folder = Store().place.folder / "checkpoints"
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("r*.pt")}


@contextmanager
def in_its_middle(
    lab: Path, n_processes: int, *flags: str, method: str = "robust_loss"
) -> Iterator[tuple[subprocess.Popen, list[psutil.Process]]]:
    """A run that has just written a checkpoint, and its processes without the launcher.

    When the block ends all of them have to end within 20 s, launcher included.
    """
    before = checkpoints(lab)
    words = launch(n_processes, *flags, "--checkpoint-seconds", "0", method=method)
    program = start(*words, lab=lab, own_group=True)
    ranks: list[psutil.Process] = []
    try:
        until(lambda: checkpoints(lab) != before or program.poll() is not None, "a checkpoint")
        assert program.poll() is None, program.communicate()
        ranks = psutil.Process(program.pid).children()
        yield program, ranks
        _, alive = psutil.wait_procs(ranks, timeout=20)
        assert not alive, "processes stayed behind"
        program.communicate(timeout=20)
    finally:
        if program.poll() is None or any(rank.is_running() for rank in ranks):
            os.killpg(program.pid, signal.SIGKILL)


def stop_group(program: subprocess.Popen, ranks: list[psutil.Process]) -> None:
    """As Ctrl-C and batch systems do: everyone gets the signal, the launcher passes it on."""
    os.killpg(program.pid, signal.SIGTERM)


def stop_one(program: subprocess.Popen, ranks: list[psutil.Process]) -> None:
    """One process alone is asked."""
    ranks[-1].send_signal(signal.SIGTERM)


def kill_launcher(program: subprocess.Popen, ranks: list[psutil.Process]) -> None:
    """The launcher is gone without a word."""
    program.kill()


def kill_all(program: subprocess.Popen, ranks: list[psutil.Process]) -> None:
    """As when a machine fails."""
    os.killpg(program.pid, signal.SIGKILL)
