"""The one door to Ray: a cluster that exists, or one on this machine for the time of this program.

Ray reads its environment when it is imported, and its connect call waits for minutes where nobody
answers; both are dealt with here.
"""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from pipeline.errors import Interrupted, LabError, quoted

NAMESPACE = "lnl"
"""Of the actors that this laboratory starts on a cluster."""
ANSWER_SECONDS = 60.0
"""Longest wait for an answer of a cluster that is there."""
_CONNECT_SECONDS = 5.0
_JOIN_SECONDS = 30.0
_END_SECONDS = 3.0
_STORE_BYTES = 100 * 2**20
_FOLDER = "lnl-ray-"

_ALWAYS = {
    # No usage statistics leave this machine.
    "RAY_USAGE_STATS_ENABLED": "0",
    # Under `uv run` Ray would copy the project and build an environment for each worker.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
_JOIN = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='ERROR')"


def require() -> None:
    """Make sure that Ray is installed, without importing it.

    Raises:
        LabError: when it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise LabError(
            "engine ray: the library is not installed",
            "the optional extra `ray`",
            "uv sync --extra ray (or pip install 'lnl-lab[ray]')",
        )


def library(extra: Mapping[str, str] | None = None) -> Any:
    """The library itself, imported under the right environment.

    Args:
        extra: further variables, which count for the first import only.

    Raises:
        LabError: when it is not installed.
    """
    require()
    if "ray" not in sys.modules:
        os.environ.update(_ALWAYS | dict(extra or {}))
    import ray

    return ray


def address_of(given: str | None) -> str | None:
    """Where the cluster is: as given, else as RAY_ADDRESS says; None for one of our own.

    Raises:
        LabError: for an address of another form.
    """
    address = given or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        return None
    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdigit() and "/" not in host):
        raise LabError(
            f"Ray address {quoted(address)}", "HOST:PORT of the head node, or auto", "HOST:6379"
        )
    return address


def _reach(address: str) -> None:
    """Make sure that a cluster answers, within 35 seconds.

    Args:
        address: HOST:PORT or `auto`.

    Raises:
        LabError: when nobody answers, or not as a cluster of this version.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except (OSError, OverflowError) as failure:
            raise _silent(address, str(failure)) from None
    # Connecting cannot be bounded in this process: Ray waits for minutes, then ends the process.
    command = [sys.executable, "-c", _JOIN, address]
    try:
        tried = subprocess.run(
            command, timeout=_JOIN_SECONDS, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise _silent(address, f"no answer as Ray gives it within {_JOIN_SECONDS:.0f} s") from None
    if tried.returncode:
        raise _silent(address, _cause(tried.stderr) or f"exit status {tried.returncode}")


def join(address: str) -> Any:
    """Connect this program to a cluster that exists, within a minute; returns the library.

    Raises:
        LabError: when Ray is not installed or nobody answers.
    """
    require()
    if (ray := connected()) is not None:
        return ray
    _reach(address)
    ray = library()
    with _signals_kept():
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    return ray


def connected() -> Any | None:
    """The library, if this program is connected to a cluster."""
    ray = sys.modules.get("ray")
    return ray if ray is not None and ray.is_initialized() else None


def answer(ray: Any, asked: Any, patience: float = 0.0) -> Any:
    """What a task or an actor answers.

    Args:
        ray: the library, connected.
        asked: what Ray returned for the call.
        patience: seconds that the answer takes by itself.

    Raises:
        Interrupted: when a stop was asked for meanwhile.
        ray.exceptions.RayError: when there is none in time.
    """
    try:
        return ray.get(asked, timeout=patience + ANSWER_SECONDS)
    except SystemError as wrapped:  # what Ray makes of an exception of a signal's handler
        if isinstance(wrapped.__cause__, Interrupted):
            raise wrapped.__cause__ from None
        raise


def start(n_cpus: int, n_gpus: int) -> Any:
    """Start a cluster of one node that listens on loopback only; returns the library.

    It ends with this program, even if that is killed. `stop` removes its folder, and so does the
    next start after a kill.

    Args:
        n_cpus: that it hands out.
        n_gpus: of those that this program sees.
    """
    # Ray's own switch for machines where it must not face the network.
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    # A secret of its own: otherwise Ray would write one into the home folder.
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for left in _left_behind(Path(tempfile.gettempdir()).glob(f"{_FOLDER}*")):
        shutil.rmtree(left, ignore_errors=True)
    ray = library(loopback | ({} if "RAY_AUTH_MODE" in os.environ else secret))
    try:
        with _signals_kept():
            ray.init(
                "local", num_cpus=n_cpus, num_gpus=n_gpus, include_dashboard=False,
                namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR",
                # Its sockets lie there, whose paths must be short.
                _temp_dir=tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"),
                object_store_memory=_STORE_BYTES,
            )  # fmt: skip
    except Exception as failure:
        stop(ray)
        raise LabError(
            f"Ray does not start on this machine: {failure}",
            "memory and processes for some ten helpers of Ray",
            "--engine local, which needs none",
            exit_code=1,
        ) from failure
    return ray


def stop(ray: Any) -> None:
    """End the cluster that this program started, all its processes, and remove its folder."""
    ours = [child for child in psutil.Process().children() if _FOLDER in " ".join(_words(child))]
    family = [one for child in ours for one in (child, *child.children(recursive=True))]
    ray.shutdown()
    # Workers end a while after the rest.
    for left in psutil.wait_procs(family, timeout=_END_SECONDS)[1]:
        with suppress(psutil.Error):
            left.kill()
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}{os.getpid()}-*"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """While entered, Ray may take SIGTERM; afterwards it is this program's again."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _left_behind(folders: Iterable[Path]) -> list[Path]:
    """Folders of programs that are gone."""
    return [
        folder
        for folder in folders
        if (process := folder.name.removeprefix(_FOLDER).partition("-")[0]).isdigit()
        and not psutil.pid_exists(int(process))
    ]


def _silent(address: str, why: str) -> LabError:
    return LabError(
        f"Ray cluster at {address}: {why}",
        "the head node of a running cluster with the same versions of Ray and Python",
        "ray status --address HOST:PORT there, or no address for a cluster of your own",
        exit_code=1,
    )


def _cause(traceback: str) -> str:
    """The first error of a chain, which is the one that began it."""
    errors = re.findall(r"^[\w.]*(?:Error|Exception): .+$", traceback, re.MULTILINE)
    about_tokens = [error for error in errors if "token" in error]  # Ray tells of them in passing
    return str([*about_tokens, *errors, traceback.strip()[-200:]][0])
