"""A Ray cluster of one node that exists before a test's programs, on loopback."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
    "RAY_AUTH_MODE": "token",
}


@contextmanager
def ray_cluster(n_cpus: int, **extra: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """Start a head node; yields its address, the environment of its users, and its process."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="head-"))
    user = _VARIABLES | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    head = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}",
         f"--num-cpus={n_cpus}", "--include-dashboard=false", f"--temp-dir={folder}",
         f"--object-store-memory={100 * 2**20}", "--block"],
        env=os.environ | user | extra, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: answers(port), 90)
        yield f"127.0.0.1:{port}", user, head.pid
    finally:
        end_family(head.pid)
        head.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(holds, seconds: float) -> None:
    """Wait until something holds; fails after some seconds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to hold"
        time.sleep(0.1)


def family(process: int) -> list[psutil.Process]:
    """A process and all that came of it."""
    try:
        first = psutil.Process(process)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_family(process: int) -> None:
    """Kill a process and all that came of it."""
    members = family(process)
    for member in members:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(members, timeout=10)
