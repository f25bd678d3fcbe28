"""Measurements in a child process: one that fails, hangs or loses the device costs only itself."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import torch

Row = dict[str, Any]
"""What was measured of one item, by column; `error` in place of what could not be."""
Measure = Callable[[str], Row]

NO_TIME = "not run: no time left"
_GRACE = 5.0
_OURS = ("/pipeline/", "/methods/", "/benchmarks/")


def rows_of(
    items: Sequence[str], measure: Measure, seconds: float, start: str = "fork"
) -> Iterator[tuple[str, Row]]:
    """Measure items one after the other, in a child that is replaced when it breaks.

    Args:
        items: names.
        measure: called in the child; what it raises becomes the row of its item.
        seconds: for all items; the child is killed a little later.
        start: how the child is started; `fork` spares it the imports, but needs a parent that has
            not touched the device.

    Yields:
        Each item with its row, in order.
    """
    end, left = time.monotonic() + seconds, list(items)
    while left and time.monotonic() < end:
        for row in _one_child(tuple(left), measure, end, multiprocessing.get_context(start)):
            yield left.pop(0), row
    for item in left:
        yield item, {"error": NO_TIME}


def _one_child(
    items: tuple[str, ...], measure: Measure, end: float, context: BaseContext
) -> Iterator[Row]:
    """Rows of the first of some items, as many as one child gets done."""
    receiver, sender = context.Pipe(duplex=False)
    work = (sender, items, measure, end)
    child: BaseProcess = context.Process(target=_work, args=work)
    child.start()
    sender.close()
    try:
        for _ in items:
            if not receiver.poll(max(0.0, end + _GRACE - time.monotonic())):
                yield {"error": "stopped: no time left"}
                return
            try:
                row = receiver.recv()
            except EOFError:
                child.join(_GRACE)
                yield {"error": f"its process ended with exit code {child.exitcode}"}
                return
            if row is None:
                return
            yield row
        child.join(_GRACE)
    finally:
        _end(child)
        child.join()
        receiver.close()


def _end(child: BaseProcess) -> None:
    """End a child with all that it started."""
    child.kill()
    if child.pid is not None:
        with suppress(ProcessLookupError):  # it has not become a group yet
            os.killpg(child.pid, signal.SIGKILL)


def _work(sender: Connection, items: Sequence[str], measure: Measure, end: float) -> None:
    os.setpgrp()
    gc.freeze()  # what came with the parent is not looked through after each item
    for item in items:
        if time.monotonic() >= end:
            break
        sender.send(guarded(measure, item))
        if not _device_is_well():
            break
    sender.send(None)


def guarded(measure: Measure, item: str) -> Row:
    """The row of one item, with the seconds it took; an error is a row as well."""
    began = time.perf_counter()
    try:
        row = dict(measure(item))
    except (Exception, SystemExit) as failure:
        row = {"error": where_and_why(failure), "traceback": traceback.format_exc()}
    return row | {"seconds": time.perf_counter() - began}


def where_and_why(failure: BaseException) -> str:
    """Kind and first line of a failure, with the innermost line of this project that it left."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    frames = traceback.extract_tb(failure.__traceback__)
    own = [frame for frame in frames if any(part in frame.filename for part in _OURS)]
    place = f" [{'/'.join(own[-1].filename.split('/')[-2:])}:{own[-1].lineno}]" if own else ""
    return f"{type(failure).__name__}: {' '.join(lines[:1])[:200]}{place}"


def _device_is_well() -> bool:
    """Whether another item can follow: some errors of CUDA end its use in a process."""
    gc.collect()
    if not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return False
    return True
