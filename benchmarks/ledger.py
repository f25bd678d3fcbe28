"""What the ledger of samples costs in an epoch: its steps, its end, and a place in memory.

    uv run python benchmarks/ledger.py
    uv run python benchmarks/ledger.py --samples 1000000 --classes 14

Logits are random: cost does not depend on content. Steps are of 128 samples; the median of the
readings counts.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

import torch
import tyro

from pipeline.training.observers import Ledger
from pipeline.training.processes import Processes, set_determinism

BATCH = 128


@dataclass(frozen=True)
class Flags:
    """Measure what the ledger costs."""

    samples: int = 50_000
    """Training samples."""
    classes: tuple[int, ...] = (10, 100)
    """Numbers of classes."""
    readings: int = 7
    """Epochs that are timed, of each."""


def seconds_of_epochs(flags: Flags, n_classes: int, processes: Processes) -> tuple[float, float]:
    """Seconds of all steps of an epoch, and of its end."""
    device = processes.device
    y = torch.arange(flags.samples, device=device) % n_classes
    ledger = Ledger(y, y, n_classes, processes)
    logits = torch.randn(BATCH, n_classes, device=device)
    steps, ends = [], []

    def passed(began: float) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    for reading in range(flags.readings):
        batches = torch.randperm(flags.samples, device=device).split(BATCH)
        began = time.perf_counter()
        for number, index in enumerate(batches):
            ledger.record(index, logits[: len(index)], number)
        steps.append(passed(began))
        began = time.perf_counter()
        ledger.close_epoch(reading)
        ends.append(passed(began))
    return statistics.median(steps), statistics.median(ends)


def main() -> None:
    """Print the medians."""
    flags = tyro.cli(Flags, description=__doc__)
    processes = Processes()
    set_determinism("error")
    for n_classes in flags.classes:
        steps, end = seconds_of_epochs(flags, n_classes, processes)
        megabytes = 2 * flags.samples * n_classes * 4 / 1e6
        print(
            f"{flags.samples} samples, {n_classes} classes: steps {1e3 * steps:.0f} ms, end "
            f"{1e3 * end:.0f} ms, {megabytes:.0f} MB for logits and probabilities"
        )
    print(f"on {processes.kind}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
