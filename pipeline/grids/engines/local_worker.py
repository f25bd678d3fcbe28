"""What a worker process of the engine `local` does; imported by the server that forks them."""

from __future__ import annotations

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
from pipeline.grids.batch import read_batch
from pipeline.grids.bundles import Bundle
from pipeline.grids.engines.ranks import launch
from pipeline.grids.worker import Worker, make_worker


def serve(
    pipe: Connection, folder: Path, token: str, threads: int | None, environment: Mapping[str, str]
) -> None:
    """Compute the bundles that come through a pipe; answer each by why it was refused, or "".

    A worker that was told to stop, and has saved its state, ends with 128 + the signal.

    Args:
        pipe: closed by the other side when there is no more to do.
        folder: of the batch.
        token: of the batch.
        threads: of torch; None for what the environment says.
        environment: of this process from now on, with the GPUs it may see.
    """
    os.environ.clear()
    os.environ.update(environment)
    # Ctrl-C reaches workers, too: one without a run just ends.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stderr = _NoTerminal(sys.stderr.buffer, line_buffering=True)
    if threads is not None:
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
            try:
                worker = worker or make_worker(batch, bundle, batch.params)
                worker.carry_out(bundle)
                pipe.send("")
            except LabError as refusal:
                pipe.send(str(refusal))
        except Interrupted as stop:
            os._exit(128 + stop.signal_number)


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
