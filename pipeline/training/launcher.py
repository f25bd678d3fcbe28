"""A process ends with the launcher that started it, even when the launcher was killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import cache

import psutil

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


def _is_launched() -> bool:
    if "LOCAL_RANK" in os.environ:
        return True
    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return False
    # A launcher of one process leaves no mark in the environment.
    return any("accelerate" in word for word in words) and any("launch" in word for word in words)


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(128 + signal.SIGTERM)
