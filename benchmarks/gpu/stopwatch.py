"""Times and counts of the steps of a run, taken where the loop asks whether to stop."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from pipeline.training.loop import Session, _train_epoch
from pipeline.training.stopping import StopRequest

COUNTED = {
    "launches": ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx"),
    "graphs": ("cudaGraphLaunch",),
    "waits": ("cudaStreamSynchronize", "cudaEventSynchronize"),
    "to_host": ("Memcpy DtoH",),
    "to_device": ("Memcpy HtoD",),
    "operators": ("aten::",),
    "items": ("aten::_local_scalar_dense",),
}
"""What is counted in a step, and how its events begin."""


class Enough(Exception):
    """Ends a run whose steps have been measured."""


class Watch:
    """Stands in for the request to stop, which the loop asks after every step.

    The time of a step is that between two marks on the device, so nothing waits for a mark. Marks
    are kept by epoch and phase: what happens between phases is no part of a step.

    Args:
        session: whose steps.
        traced: epoch whose first steps are counted; None to count none. The run ends after them.
        n_traced: how many steps are counted.
    """

    def __init__(self, session: Session, traced: int | None = None, n_traced: int = 2) -> None:
        self._session, self._traced, self._left = session, traced, n_traced
        self._device = session.processes.device
        self._marks: dict[tuple[int, int], list[Any]] = defaultdict(list)
        self._profile: profile | None = None
        self._flops: FlopCounterMode | None = None
        self.n_traced, self.counts, self.flops = n_traced, dict[str, float](), 0.0

    def save_now(self) -> bool:
        """Take in the end of a step; never asks to save."""
        progress = self._session.progress
        if progress.epoch == self._traced:
            self._trace()
        else:
            self._marks[progress.epoch, progress.phase].append(self._mark())
        return False

    def _mark(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _trace(self) -> None:
        """Count the events of some steps, then the arithmetic of one."""
        if self._profile is None and not self.counts:
            activities = [ProfilerActivity.CPU]
            if self._device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            self._profile = profile(activities=activities, acc_events=True)
            self._wait()
            self._profile.start()
        elif self._left > 1:
            self._left -= 1
        elif self._profile is not None:
            self._wait()
            self._profile.stop()
            counted = [(event.key, event.count) for event in self._profile.key_averages()]
            self.counts, self._profile = counts_of(counted, self.n_traced), None
            self._flops = FlopCounterMode(display=False)
            self._flops.__enter__()
        else:
            assert self._flops is not None
            self.flops = float(self._flops.get_total_flops())
            raise Enough

    def _wait(self) -> None:
        """Until all earlier work is done: what a step does belongs to it."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def close(self) -> None:
        """Stop counting, also where the epoch ended too early."""
        if self._flops is not None:
            self._flops.__exit__(None, None, None)
        if self._profile is not None:
            self._profile.stop()

    def step_seconds(self, first_epoch: int = 0, skipped: int = 1) -> list[float]:
        """Seconds of the steps from an epoch on, without the first ones of each phase."""
        found = []
        for (epoch, _), marks in self._marks.items():
            if epoch >= first_epoch:
                found += _between(marks[min(skipped, max(len(marks) - 2, 0)) :])
        return found


def counts_of(events: Iterable[tuple[str, int]], n_steps: int) -> dict[str, float]:
    """What was counted, for one step.

    Args:
        events: names and how often each happened.
        n_steps: in how many steps.
    """
    known = list(events)
    return {
        name: sum(n for key, n in known if key.startswith(starts)) / n_steps
        for name, starts in COUNTED.items()
    }


def _between(marks: list[Any]) -> list[float]:
    if not marks:
        return []
    if not isinstance(marks[0], float):
        marks[-1].synchronize()
        return [a.elapsed_time(b) / 1000 for a, b in pairwise(marks)]
    return [b - a for a, b in pairwise(marks)]


def median_ms(seconds: list[float]) -> float | None:
    """Median in milliseconds; None of nothing."""
    return 1000 * statistics.median(seconds) if seconds else None


class _Paced:
    """Ends an epoch once enough of its steps have been timed."""

    def __init__(self, device: torch.device, warm: int, most: int, seconds: float) -> None:
        self._device, self._warm, self._most, self._seconds = device, warm, most, seconds
        self.n, self.took, self._began = 0, 0.0, 0.0

    def save_now(self) -> bool:
        self.n += 1
        if self.n == self._warm:
            self._began = self._now()
        timed = self.n - self._warm
        if timed >= self._most or (timed > 3 and time.perf_counter() - self._began > self._seconds):
            raise Enough
        return False

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds_per_step(self) -> float:
        return (self._now() - self._began) / max(self.n - self._warm, 1)


def seconds_per_step(session: Session, warm: int, most: int, seconds: float) -> float:
    """Seconds of a step of the product's own epoch, on average.

    Args:
        session: at its start.
        warm: steps before the clock starts.
        most: steps that are timed at most; an epoch has to have one more than both.
        seconds: after which no further step is timed.
    """
    paced = _Paced(session.processes.device, warm, most, seconds)
    session.method.train()
    session.method.start(session.context)
    session.method.epoch_start(session.context)
    with suppress(Enough):
        _train_epoch(session, cast("StopRequest", paced))
    return paced.seconds_per_step()
