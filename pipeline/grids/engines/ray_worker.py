"""What a task of the engine `ray` does, in a worker process of Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.errors import Interrupted, LabError
from pipeline.grids.batch import Batch, read_batch
from pipeline.grids.bundles import Bundle

if TYPE_CHECKING:
    from pipeline.grids.worker import Worker


def compute(
    folder: Path, token: str, bundle: Bundle, threads: int, environment: Mapping[str, str]
) -> tuple[str, bool]:
    """Compute a bundle.

    Args:
        folder: of the batch.
        token: of the batch.
        bundle: of the batch.
        threads: of torch; Ray sets OMP_NUM_THREADS, but not where the node does.
        environment: variables that name the project and the store.

    Returns:
        Why it was refused or stopped, or ""; and whether SIGTERM stopped it, as on a node that is
        drained: the run is saved and goes on elsewhere. Ray cancels by SIGINT, which is final.
    """
    os.environ.update(environment)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        log = folder / "logs" / f"{bundle.number}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
            return _computed(folder, token, bundle, threads), False
    except LabError as refusal:
        return str(refusal), False
    except Interrupted as stop:
        return str(stop), stop.signal_number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)


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
    batch = read_batch(folder, token)
    if bundle.gpus > 1:
        return launch(batch, bundle, threads)
    _worker(batch, bundle).carry_out(bundle)
    return ""


_workers: dict[tuple[str, str], Worker] = {}
"""The worker of this process, by batch and precision: what its cells share stays open."""


def _worker(batch: Batch, bundle: Bundle) -> Worker:
    from pipeline.grids.worker import make_worker

    kind = (batch.token, bundle.precision)
    if kind not in _workers:
        _workers.clear()
        _workers[kind] = make_worker(batch, bundle)
    return _workers[kind]


def _stop(number: int, frame: FrameType | None) -> None:
    """What SIGTERM does while no run is there to be saved."""
    del frame
    raise Interrupted("stopped", number)
