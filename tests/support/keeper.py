"""A program that starts each command it reads and, at the end of its input, kills all of them.

Its input ends with the program that writes it, even when that one is killed. Whatever its programs
leave behind becomes its own child, daemons included, so that nothing outlives it; then it removes
their folder, which is its one argument.
"""

import ctypes
import os
import selectors
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import psutil

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Start what the lines say until there are no more, then kill and reap every descendant."""
    assert ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0
    lines = selectors.DefaultSelector()
    lines.register(sys.stdin.fileno(), selectors.EVENT_READ)
    text = b""
    while True:
        if lines.select(timeout=0.2):
            read = os.read(sys.stdin.fileno(), 65536)
            if not read:
                break
            *commands, text = (text + read).split(b"\n")
            for command in commands:
                subprocess.Popen(shlex.split(command.decode()), stdin=subprocess.DEVNULL)
        _reap()
    while descendants := psutil.Process().children(recursive=True):
        for process in descendants:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _reap()
        time.sleep(0.02)
    shutil.rmtree(sys.argv[1])


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
