"""What a worker process of the engine `local` does; imported by the server that forks them."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from pipeline.errors import Interrupted, LabError
from pipeline.grids.batch import Batch, read_batch
from pipeline.grids.bundles import Bundle
from pipeline.grids.engines.ranks import launch
from pipeline.grids.worker import Worker
from pipeline.training.processes import Processes


def serve(
    pipe: Connection, folder: Path, token: str, threads: int, environment: Mapping[str, str]
) -> None:
    """Compute the bundles that come through a pipe; answer each by why it was refused, or "".

    A worker that was told to stop, and has saved its state, ends with 128 + the signal.

    Args:
        pipe: closed by the other side when there is no more to do.
        folder: of the batch.
        token: of the batch.
        threads: of torch.
        environment: of this process from now on, with the GPUs it may see.
    """
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C reaches workers, too: one without a run just ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stderr = _NoTerminal(sys.stderr.buffer, line_buffering=True)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    batch = read_batch(folder, token)
    worker: Worker | None = None
    while True:
        try:
            bundle: Bundle = pipe.recv()
        except EOFError:
            return
        try:
            if bundle.gpus > 1:
                pipe.send(launch(batch, bundle, threads))
                continue
            if worker is None:
                worker = Worker(batch, Processes(bundle.precision), batch.params)
            gc.freeze()  # what is there stays; each run ends with a full collection of the rest
            pipe.send(_carried_out(worker, bundle))
        except Interrupted as stop:
            os._exit(128 + stop.signal_number)


def serve_here(batch: Batch, bundle: Bundle) -> str:
    """Compute a bundle in this process; returns why it was refused, or ""."""
    return _carried_out(Worker(batch, Processes(bundle.precision), batch.params), bundle)


def _carried_out(worker: Worker, bundle: Bundle) -> str:
    try:
        worker.carry_out(bundle)
    except LabError as refusal:
        return str(refusal)
    return ""


class _NoTerminal(io.TextIOWrapper):
    """A stream on which no worker draws a bar: one table shows them all."""

    def isatty(self) -> bool:
        """It is none."""
        return False


def _end_with_parent() -> None:
    """Stop this worker when the program that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
