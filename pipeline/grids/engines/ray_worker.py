"""What a task of the engine `ray` does, in a worker process of Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.errors import Interrupted, LabError
from pipeline.grids.batch import read_batch
from pipeline.grids.bundles import Bundle

if TYPE_CHECKING:
    from pipeline.grids.worker import Worker


def compute(
    folder: Path, token: str, bundle: Bundle, threads: int, environment: Mapping[str, str]
) -> str:
    """Compute a bundle; returns why it was refused or stopped, or "".

    A process that was told to end by SIGTERM, as on a node that is drained, saves its run and ends:
    Ray starts the task again elsewhere. Being cancelled is SIGINT, after which it is not.

    Args:
        folder: of the batch.
        token: of the batch.
        bundle: of the batch.
        threads: of torch; Ray sets OMP_NUM_THREADS, but not where the node does.
        environment: variables that name the project and the store.
    """
    os.environ.update(environment)
    ending = signal.signal(signal.SIGTERM, _end)
    try:
        log = folder / "logs" / f"{bundle.number}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
            return _computed(folder, token, bundle, threads)
    except LabError as refusal:
        return str(refusal)
    except Interrupted as stop:
        if stop.signal_number == signal.SIGTERM:
            _end(stop.signal_number, None)
        return str(stop)
    finally:
        signal.signal(signal.SIGTERM, ending)


def sees(folder: Path, token: str) -> str:
    """Why the node of this process cannot read a batch, or ""."""
    try:
        read_batch(folder, token)
    except LabError as failure:
        return str(failure)
    return ""


def _computed(folder: Path, token: str, bundle: Bundle, threads: int) -> str:
    # Ray's own processes import this file, too, and need no torch.
    import torch

    from pipeline.grids.engines.ranks import launch

    torch.set_num_threads(threads)
    if bundle.gpus > 1:
        return launch(read_batch(folder, token), bundle, threads)
    _worker(folder, token, bundle.precision).carry_out(bundle)
    return ""


@lru_cache(maxsize=1)
def _worker(folder: Path, token: str, precision: str) -> Worker:
    """The worker of this process: what its cells share stays open between bundles."""
    from pipeline.grids.worker import Worker
    from pipeline.training.processes import Processes

    return Worker(read_batch(folder, token), Processes(precision))


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    os._exit(128 + number)
