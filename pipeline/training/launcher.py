"""Under a launcher: a process ends with it, and an error is told once, apart from its report."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, wraps
from typing import ParamSpec

import psutil

from pipeline.errors import LabError, ToldElsewhere

P = ParamSpec("P")

_LOOKS = 0.5
_GRACE = 30.0  # what torch's launcher itself allows between SIGTERM and SIGKILL


@cache
def end_with_launcher() -> None:
    """Ask this process to stop, as SIGTERM does, once the launcher that started it is gone.

    Processes that no launcher started live on without their parent, as under nohup. One that has
    not ended 30 s later, because it waits for another one, is ended then.
    """
    if _is_launched():
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


@contextmanager
def told_by_one() -> Iterator[None]:
    """An error within the block, which every process meets alike, is told by the first one only.

    Raises:
        ToldElsewhere: in place of a LabError, on the other processes.
    """
    try:
        yield
    except LabError as error:
        if _is_first():
            raise
        raise ToldElsewhere(error.given, error.allowed, error.remedy, error.exit_code) from error


def apart_from_launcher(main: Callable[P, None]) -> Callable[P, None]:
    """When a program fails, say that what its launcher prints then is no further error.

    The launcher of Accelerate, and that of torch for several processes, answer an exit status with
    a traceback of their own; nothing that a script does keeps them from it.
    """

    @wraps(main)
    def explained(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except SystemExit as ending:
            if ending.code and _is_first() and (note := _note_on(_launcher_words())):
                print(f"note: {note}", file=sys.stderr)
            raise

    return explained


def _note_on(words: Sequence[str]) -> str:
    """What to say of the report of a launcher with this command line; nothing where it has none."""
    if "LOCAL_RANK" in os.environ:
        return "what follows is the launcher's report of the same error"
    if not words or {"-q", "--quiet"}.intersection(words):
        return ""
    return "the launcher reports this once more; accelerate launch --quiet leaves that out"


def _is_first() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _is_launched() -> bool:
    return "LOCAL_RANK" in os.environ or bool(_launcher_words())


def _launcher_words() -> list[str]:
    """The command line of a launcher of one process, which leaves no mark in the environment."""
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return []
    marks = ("accelerate", "launch")
    return words if all(any(mark in word for word in words) for mark in marks) else []


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(128 + signal.SIGTERM)
