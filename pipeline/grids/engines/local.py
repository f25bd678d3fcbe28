"""Worker processes that end with the program that started them, and save their runs before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType
from typing import Any, TypeVar

import torch

from pipeline.errors import Interrupted, LabError

Result = TypeVar("Result")


@contextmanager
def worker_pool(n: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `n` processes that share the cores.

    While it is open, SIGTERM and Ctrl-C to this program reach the workers, whose runs then save
    their state.

    Args:
        n: number of processes.

    Yields:
        The pool; its tasks go through `in_worker`.

    Raises:
        Interrupted: when this program was told to stop.
        LabError: when a worker was ended by somebody else.
    """
    threads = max(1, (os.cpu_count() or 1) // n)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n, context, _begin_worker, (threads,))

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted("stopped; finished runs are stored, the same command continues", number)

    previous = {
        number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield pool
    except BrokenProcessPool as failure:
        raise LabError(
            "a worker process was ended from outside (was memory short?)",
            "finished runs are stored",
            "the same command continues; --workers 1 needs the least memory",
            exit_code=1,
        ) from failure
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        pool.shutdown(cancel_futures=True)


def in_worker(task: Callable[..., Result], *arguments: Any) -> Result:
    """Do a task in a worker; if it is told to stop and has saved its state, end the worker.

    A worker that lived on would take the next task from the queue.
    """
    try:
        return task(*arguments)
    except Interrupted as stop:
        os._exit(128 + stop.signal_number)


def _begin_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Stop this worker when the program that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
