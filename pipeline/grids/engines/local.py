"""The engine `local`: cells on this machine, one after another or in worker processes.

Workers end with the program that started them, and save their runs before.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from types import FrameType

import torch

from pipeline.config import Execution, Params
from pipeline.errors import Interrupted, LabError
from pipeline.grids.batch import FrozenCell, carry_out_cell, carry_out_frozen
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.run import Outcome

_BUSY_SECONDS = 1.0
"""Time between two looks at cells that another program computes."""


def outcomes(
    missing: list[PlannedRun], params: Params, execution: Execution, workers: int
) -> Iterator[tuple[PlannedRun, Outcome]]:
    """Compute cells; one that another program computes is waited for.

    Args:
        missing: the cells.
        params: that they were planned from.
        execution: how each run is carried out.
        workers: processes that compute cells at the same time.

    Yields:
        Each cell with its outcome, as it ends.

    Raises:
        Interrupted: when a stop was asked for.
        LabError: when a worker was ended from outside.
    """
    waiting = missing
    while waiting:
        busy = []
        for cell, outcome in _once(waiting, params, execution, workers):
            if outcome.ending == "busy":
                busy.append(cell)
            else:
                yield cell, outcome
        waiting = busy
        if busy:
            time.sleep(_BUSY_SECONDS)


def _once(
    waiting: list[PlannedRun], params: Params, execution: Execution, workers: int
) -> Iterator[tuple[PlannedRun, Outcome]]:
    if workers == 1:
        for cell in waiting:
            yield cell, carry_out_cell(cell, execution)
        return
    with _worker_pool(workers, params) as pool:
        futures = {
            pool.submit(_in_worker, FrozenCell.of(cell), execution): cell for cell in waiting
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def _worker_pool(n: int, params: Params) -> Iterator[ProcessPoolExecutor]:
    """A pool of `n` processes that share the cores.

    While it is open, SIGTERM and Ctrl-C to this program reach the workers, whose runs then save
    their state.
    """
    threads = max(1, (os.cpu_count() or 1) // n)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n, context, _begin_worker, (threads, params))

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
            "workers that end by themselves; finished runs are stored",
            "the same command, which continues; --workers 1 needs the least memory",
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


_planner: Planner
"""Of a worker process: what its cells share stays open between them."""


def _begin_worker(threads: int, params: Params) -> None:
    global _planner  # noqa: PLW0603  # a worker has no other place that lasts between tasks
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _planner = Planner(params, makes=False)


def _in_worker(cell: FrozenCell, execution: Execution) -> Outcome:
    """Compute a cell; a worker that was told to stop, and has saved its state, ends.

    One that lived on would take the next task from the queue.
    """
    try:
        return carry_out_frozen(cell, _planner, execution)
    except Interrupted as stop:
        os._exit(128 + stop.signal_number)


def _end_with_parent() -> None:
    """Stop this worker when the program that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
