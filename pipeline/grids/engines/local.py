"""The engine `local`: worker processes on this machine, one a GPU where there are GPUs.

Workers end with the program that started them, and save their runs before. They are forked from a
server that has imported what they need, so a new one starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from pipeline.config import LocalEngine
from pipeline.errors import LabError
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import Bundle, Lengths
from pipeline.grids.engines.engine import Handle, Job, Phase
from pipeline.grids.engines.local_worker import serve
from pipeline.grids.engines.programs import is_this_program, program_of, this_program
from pipeline.grids.worker import make_worker
from pipeline.runs.telling import Lines

_LENGTHS = Lengths(shortest=2.0, longest=60.0, per_slot=32)
"""Handing out a bundle costs milliseconds; short ones let all workers end together."""


_WISHES = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that ask a worker to end; others are no wish of anybody."""


class Place(NamedTuple):
    """Where one worker computes.

    Args:
        device: GPU, as CUDA_VISIBLE_DEVICES names it; None for CPUs.
        number: of the worker on that GPU.
    """

    device: str | None
    number: int


@dataclass
class _Running:
    process: BaseProcess
    pipe: Connection
    precision: str
    bundle: Bundle | None
    devices: tuple[str, ...]


class Local:
    """Worker processes on this machine.

    Args:
        name: of the engine.
        settings: of its entry.
        workers: processes where there is no GPU; 0 for this program itself.
        devices: GPUs of this machine, as CUDA_VISIBLE_DEVICES names them; None to look.
    """

    tracks = True
    stays = False
    pause = 0.5

    def __init__(
        self,
        name: str,
        settings: LocalEngine,
        workers: int,
        devices: Sequence[str] | None = None,
    ) -> None:
        self.name, self._settings, self._workers = name, settings, workers
        self.is_here = workers == 0
        found = visible_gpus() if devices is None else list(devices)
        self._devices = _chosen(found, settings.gpus) if workers else []
        self._waiting: list[Bundle] = []
        self._running: dict[Place, _Running] = {}
        self._ended: dict[int, Job] = {}

    def check(self) -> None:
        """This machine is always there."""

    def gpus(self, asked: int | None) -> int:
        """GPUs of a cell: 0 on a machine without any."""
        if not self._devices:
            return 0
        if (asked or 1) > len(self._devices):
            raise LabError(
                f"a cell with gpus: {asked} on a machine with {len(self._devices)}",
                "at most the GPUs that the engine has",
                f"gpus: {len(self._devices)} in that run of the grid, or another engine",
            )
        return asked or 1

    def slots(self) -> int:
        """Workers."""
        return len(self._places())

    def lengths(self) -> Lengths:
        """Short bundles, at most as long as the settings say."""
        longest = min(_LENGTHS.longest, 60 * self._settings.bundle_minutes)
        return _LENGTHS._replace(longest=longest, shortest=min(_LENGTHS.shortest, longest))

    def submit(self, batch: Batch, bundles: Sequence[Bundle]) -> Handle:
        """Queue bundles; `state` hands them out."""
        # Those that need most GPUs first: later, single cells would hold one each.
        self._waiting = sorted([*self._waiting, *bundles], key=lambda bundle: -bundle.gpus)
        numbers = tuple(bundle.number for bundle in bundles)
        return Handle(self.name, numbers, f"process {os.getpid()}", this_program())

    def state(self, batch: Batch, handle: Handle, patience: float) -> list[Job]:
        """Hand out bundles, wait for workers, and say how the bundles of a handle stand.

        Of a handle of another program: whether that program is there.
        """
        if not is_this_program(handle.facts):
            phase: Phase = "running" if program_of(handle.facts) else "ended"
            return [Job(handle.jobs, handle.bundles, phase, "", handle.facts["host"])]
        if self._workers == 0:
            self._compute_here(batch)
        else:
            self._hand_out(batch)
            self._listen(patience)
            self._hand_out(batch)
        running = {one.bundle.number: one for one in self._running.values() if one.bundle}
        jobs = []
        for number in handle.bundles:
            if number in self._ended:
                jobs.append(self._ended[number])
            elif number in running:
                process = f"process {running[number].process.pid}"
                jobs.append(Job(process, (number,), "running"))
            else:
                jobs.append(Job(f"bundle {number}", (number,), "waiting"))
        return jobs

    def cancel(self, batch: Batch, handle: Handle) -> None:
        """End all workers, or the program that started them; what is computed is saved."""
        if not is_this_program(handle.facts):
            if program := program_of(handle.facts):
                program.terminate()
            return
        self._waiting.clear()
        for running in self._running.values():
            if running.bundle is not None:
                running.process.terminate()
        for place in list(self._running):
            self._retire(place)

    def _compute_here(self, batch: Batch) -> None:
        if self._waiting:
            bundle = self._waiting.pop(0)
            make_worker(batch, bundle, batch.params, Lines()).carry_out(bundle)
            self._ended[bundle.number] = Job("this program", (bundle.number,), "ended")

    def _places(self) -> list[Place]:
        if self._devices:
            per_gpu = range(self._settings.per_gpu)
            return [Place(device, number) for number in per_gpu for device in self._devices]
        return [Place(None, number) for number in range(max(self._workers, 1))]

    def _hand_out(self, batch: Batch) -> None:
        for bundle in list(self._waiting):
            place, devices = self._room(bundle)
            if place is not None:
                self._waiting.remove(bundle)
                self._give(batch, bundle, place, devices)

    def _room(self, bundle: Bundle) -> tuple[Place | None, tuple[str, ...]]:
        """A free place for a bundle and the GPUs it gets; None while there is none."""
        taken = {device for one in self._running.values() if one.bundle for device in one.devices}
        if bundle.gpus > 1:
            free = [device for device in self._devices if device not in taken]
            if len(free) < bundle.gpus:
                return None, ()
            devices = tuple(free[: bundle.gpus])
            return Place(devices[0], 0), devices
        shared = {
            device
            for one in self._running.values()
            if one.bundle and one.bundle.gpus > 1
            for device in one.devices
        }
        for place in self._places():
            held = self._running.get(place)
            if place.device not in shared and (held is None or held.bundle is None):
                return place, () if place.device is None else (place.device,)
        return None, ()

    def _give(self, batch: Batch, bundle: Bundle, place: Place, devices: tuple[str, ...]) -> None:
        if bundle.gpus > 1:
            for other in [other for other in self._running if other.device in devices]:
                self._retire(other)
        held = self._running.get(place)
        if held is not None and (held.precision, held.devices) != (bundle.precision, devices):
            self._retire(place)
            held = None
        if held is None:
            held = self._running[place] = self._start(batch, bundle, devices)
        held.bundle = bundle
        held.pipe.send(bundle)

    def _start(self, batch: Batch, bundle: Bundle, devices: tuple[str, ...]) -> _Running:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["pipeline.grids.engines.local_worker"])
        ours, theirs = context.Pipe()
        environment = dict(os.environ)
        if devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        shared = max(1, (os.cpu_count() or 1) // self.slots())
        threads = None if os.environ.get("OMP_NUM_THREADS") else shared
        process = context.Process(
            target=serve, args=(theirs, batch.folder, batch.token, threads, environment)
        )
        process.start()
        theirs.close()
        return _Running(process, ours, bundle.precision, None, devices)

    def _listen(self, patience: float) -> None:
        """Take in what workers say, and notice those that are gone."""
        by_pipe = {one.pipe: place for place, one in self._running.items()}
        for pipe in wait(list(by_pipe), timeout=patience if by_pipe else 0):
            assert isinstance(pipe, Connection)
            place = by_pipe[pipe]
            try:
                reason = pipe.recv()
            except EOFError:
                self._lost(place)
                continue
            self._end(place, reason, blames_cell=False)

    def _lost(self, place: Place) -> None:
        process = self._running[place].process
        process.join()
        code = process.exitcode or 0
        # One that was told to stop and has saved its run ends with 128 + the signal.
        number = -code if code < 0 else code - 128
        name = next((one.name for one in signal.Signals if one == number), f"exit status {code}")
        hint = " (was memory short?)" if name == "SIGKILL" else ""
        blames_cell = code < 128 and number not in _WISHES
        self._end(place, f"worker ended by {name}{hint}", blames_cell)
        self._retire(place)

    def _end(self, place: Place, reason: str, blames_cell: bool) -> None:
        running = self._running[place]
        if running.bundle is not None:
            number = running.bundle.number
            name = f"process {running.process.pid}"
            self._ended[number] = Job(name, (number,), "ended", reason, "", blames_cell)
            running.bundle = None

    def _retire(self, place: Place) -> None:
        running = self._running.pop(place)
        running.pipe.close()  # a worker without a bundle ends by that
        running.process.join()


def visible_gpus() -> list[str]:
    """The GPUs that this program may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    n = torch.cuda.device_count()
    return [*named[:n]] if any(named) else [str(number) for number in range(n)]


def _chosen(devices: list[str], numbers: Sequence[int] | None) -> list[str]:
    """The GPUs with these numbers among those that are visible."""
    if numbers is None:
        return devices
    if missing := [number for number in numbers if number >= len(devices)]:
        raise LabError(
            f"GPU {missing[0]} on a machine that shows {len(devices)}",
            f"numbers below {len(devices)}" if devices else "a machine with GPUs",
            "nvidia-smi, which lists them",
        )
    return [devices[number] for number in dict.fromkeys(numbers)]
