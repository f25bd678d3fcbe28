"""Who holds a claim: a process that others can name, and that its own host can look for."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_PROCESSES = Path("/proc/self")
_JOBS = ("SLURM_JOB_ID", "RAY_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


@dataclass(frozen=True)
class Holder:
    """A process that computes a run."""

    host: str = ""
    job: str = ""
    """Id that the engine gave, such as 4711_3 of Slurm; empty without one."""
    pid: int = 0
    machine: str = ""
    """This start of the operating system, and the processes that can see each other in it."""
    started: str = ""
    """Start of the process, which tells it from a later one of the same pid."""

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        return _me(os.getpid())

    @classmethod
    def read(cls, text: bytes) -> Holder:
        """The holder that a claim names; an unknown one if it cannot be read."""
        try:
            facts = json.loads(text)["holder"]
            return cls(**{name: facts[name] for name in cls.__dataclass_fields__})
        except (ValueError, TypeError, KeyError):
            return cls()

    def facts(self) -> dict[str, object]:
        """As it is written into a claim."""
        return vars(self)

    @property
    def is_gone(self) -> bool:
        """Whether this host knows that the process has ended; False for those of other hosts."""
        return (
            self.machine == _machine()
            and self.started != ""
            and _start_of(self.pid) not in {self.started, ""}
        )

    def __str__(self) -> str:
        """Host and job, for a message."""
        job = f", job {self.job}" if self.job else ""
        return f"{self.host or 'an unknown host'}{job}"


@cache
def _me(pid: int) -> Holder:
    # By its id, which keeps the answer of one process from its forks.
    return Holder(socket.gethostname(), _job(), pid, _machine(), _start_of(pid) or "")


def _job() -> str:
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    if array and task:
        return f"{array}_{task}"
    return next((os.environ[name] for name in _JOBS if os.environ.get(name)), "")


@cache
def _machine() -> str:
    """Equal for two processes only if each can look for the other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux: no containers that share a kernel either
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def _start_of(pid: int) -> str | None:
    """When a process of this host started; None without one, empty if that cannot be known."""
    try:
        if _PROCESSES.exists():
            # In ticks since the start of the system, which no change of the clock moves.
            text = (_PROCESSES.parent / str(pid) / "stat").read_text(
                encoding="utf-8", errors="replace"
            )
            state, *facts = text.rpartition(")")[2].split()
            return None if state in "ZX" else facts[18]
        return str(psutil.Process(pid).create_time())
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        # Some systems hide the processes of other users.
        return "" if psutil.pid_exists(pid) else None
    except (OSError, psutil.Error):
        return ""
