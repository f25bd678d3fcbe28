"""The engine `ray`: tasks on a Ray cluster that exists, or on one of this program's own.

On a cluster that exists an actor keeps the tasks, and this program may go away. A cluster of its
own is one node on this machine and ends with this program, which waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from pipeline.config import RayEngine
from pipeline.errors import LabError
from pipeline.files import project_root
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import Bundle, Lengths, bundles_of
from pipeline.grids.engines.engine import Handle, Job, Phase
from pipeline.grids.engines.local import visible_gpus
from pipeline.grids.engines.programs import is_this_program, program_of, this_program
from pipeline.grids.engines.ray_cluster import (
    ANSWER_SECONDS,
    NAMESPACE,
    address_of,
    answer,
    connected,
    join,
    require,
    start,
    stop,
)
from pipeline.grids.engines.ray_keeper import Keeper, read_report
from pipeline.grids.engines.ray_worker import sees

_SHORTEST = 30.0
"""Seconds that a bundle should take at least: a task costs tenths of one, its process seconds."""
_SAVE_SECONDS = 60.0
"""Longest wait for runs to save their state before a cluster of our own ends."""
_LOOK_SECONDS = 0.3
_LOST = "lost: its cluster or its keeper has ended"
_UNITS = {"M": 2**20, "G": 2**30}


class Ray:
    """Tasks on a Ray cluster.

    Args:
        name: of the engine.
        settings: of its entry.
        devices: GPUs of this machine, for a cluster of our own; None to look.
    """

    tracks = is_here = False
    pause = 1.0

    def __init__(
        self, name: str, settings: RayEngine, devices: Sequence[str] | None = None
    ) -> None:
        self.name, self._settings = name, settings
        self._address = address_of(settings.address)
        # A cluster that exists is there without this program.
        self.stays = self._address is not None
        self._n_gpus = 0
        if self._address is None:
            self._n_gpus = len(visible_gpus() if devices is None else devices)

    def check(self) -> None:
        """Ray is installed, and the cluster, if it is to exist, answers."""
        require()
        if self._address is not None:
            join(self._address)

    def gpus(self, asked: int | None) -> int:
        """GPUs of a cell: what it asks for, else what the entry says.

        On a machine without any, 0 on a cluster of our own.
        """
        if self._address is None and not self._n_gpus:
            return 0
        wanted = asked or self._settings.gpus
        fits = any(self._fitting(node, wanted) for node in self._nodes())
        if not fits and (self._address is None or not self._settings.grows):
            raise LabError(
                f"cells of {self._text(wanted)} on a Ray cluster without a node for them",
                "cells that a node of it can hold, or grows: true where nodes come when needed",
                "gpus: 0 in the engine's entry where nodes have none, or less of what is too much",
            )
        return wanted

    def slots(self) -> int:
        """Bundles that the nodes can hold, at least one."""
        gpus = self._settings.gpus if self._address or self._n_gpus else 0
        room = sum(self._fitting(node, gpus) for node in self._nodes())
        return max(1, min(room, self._settings.max_parallel or room))

    def lengths(self) -> Lengths:
        """Bundles as long as the settings say."""
        longest = 60 * self._settings.bundle_minutes
        return Lengths(shortest=min(_SHORTEST, longest), longest=longest, per_slot=4)

    def submit(self, batch: Batch, bundles: Sequence[Bundle]) -> Handle:
        """Give the bundles to a keeper on the cluster."""
        ray = self._cluster()
        if self._address is not None:
            _require_shared(ray, batch)
        first = min(bundle.number for bundle in bundles)
        name = f"{batch.grid}/{batch.folder.name}/{first}"
        report = batch.folder / "handles" / f"ray-{first}.report"
        actor = (
            ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=8)(Keeper)
            .options(name=name, lifetime="detached")
            .remote(
                batch.folder, batch.token, list(bundles), [self.options(one) for one in bundles],
                self._settings.cpus, self._settings.max_parallel, _environment(), report,
            )
        )  # fmt: skip
        try:
            answer(ray, actor.state.remote(0.0))
        except ray.exceptions.RayError as failure:
            ray.kill(actor)
            raise _unable(failure) from failure
        facts = {"address": self._address, "keeper": name, "report": str(report)}
        numbers = tuple(bundle.number for bundle in bundles)
        return Handle(self.name, numbers, f"actor {name}", facts | this_program())

    def state(self, batch: Batch, handle: Handle, patience: float) -> list[Job]:
        """The tasks of a handle; where its keeper and its report are gone, all are lost."""
        if handle.facts["address"] is None and not is_this_program(handle.facts):
            there = program_of(handle.facts) is not None
            phase: Phase = "running" if there else "ended"
            return [Job(handle.jobs, handle.bundles, phase, "", handle.facts["host"])]
        if reported := read_report(Path(handle.facts["report"])):
            return reported
        ray, lost = _connected(handle), [Job(handle.jobs, handle.bundles, "ended", _LOST)]
        if ray is None:
            return lost
        try:
            actor = ray.get_actor(handle.facts["keeper"], NAMESPACE)
            jobs = answer(ray, actor.state.remote(patience), patience)
        except (ValueError, ray.exceptions.RayActorError):
            return read_report(Path(handle.facts["report"])) or lost
        except ray.exceptions.RayError as failure:
            raise _unable(failure) from failure
        return [self._explained(job, batch) for job in jobs]

    def cancel(self, batch: Batch, handle: Handle) -> None:
        """Cancel all tasks; a cluster of our own ends with them."""
        own = handle.facts["address"] is None
        if own and not is_this_program(handle.facts):
            if program := program_of(handle.facts):
                program.terminate()
            return
        ray = _connected(handle)
        if ray is None:
            return
        keepers = ray.util.list_named_actors() if own else [handle.facts["keeper"]]
        for keeper in keepers:
            # One that has ended meanwhile has nothing to cancel.
            with suppress(ValueError, ray.exceptions.RayError):
                actor = ray.get_actor(keeper, NAMESPACE)
                answer(ray, actor.cancel.remote())
        until = time.monotonic() + _SAVE_SECONDS
        while set(keepers) & set(ray.util.list_named_actors()) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        if own:
            stop(ray)

    def options(self, bundle: Bundle) -> dict[str, float]:
        """What Ray reserves for the task of a bundle: a part of a GPU where cells share one."""
        return self._reserved(bundle.gpus)

    def _reserved(self, gpus: int) -> dict[str, float]:
        n, settings = max(gpus, 1), self._settings
        reserved = {"num_cpus": float(n * settings.cpus),
                    "num_gpus": 1 / settings.per_gpu if gpus == 1 else float(gpus)}  # fmt: skip
        if settings.memory is not None:
            reserved["memory"] = float(n * int(settings.memory[:-1]) * _UNITS[settings.memory[-1]])
        return reserved

    def _cluster(self) -> Any:
        """The library, connected."""
        if self._address is not None:
            return join(self._address)
        return connected() or start(_cpus(), self._n_gpus)

    def _nodes(self) -> list[dict[str, float]]:
        """What each node has in all."""
        if self._address is None:
            memory = float(psutil.virtual_memory().total)
            return [{"CPU": float(_cpus()), "GPU": float(self._n_gpus), "memory": memory}]
        return [node["Resources"] for node in self._cluster().nodes() if node["Alive"]]

    def _fitting(self, node: dict[str, float], gpus: int) -> int:
        """Tasks of cells with that many GPUs that a node can hold at the same time."""
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        asked = {names[name]: amount for name, amount in self._reserved(gpus).items() if amount}
        return min(int(node.get(name, 0.0) / amount) for name, amount in asked.items())

    def _explained(self, job: Job, batch: Batch) -> Job:
        """A waiting job with the reason, if one is known."""
        if job.phase != "waiting":
            return job
        known = {bundle.number: bundle for bundle in bundles_of(batch)}
        gpus = known[job.bundles[0]].gpus
        if any(self._fitting(node, gpus) for node in self._nodes()):
            return job._replace(reason="waits for room")
        return job._replace(reason=f"no node has {self._text(gpus)}")

    def _text(self, gpus: int) -> str:
        words = {"num_cpus": "CPUs", "num_gpus": "GPUs", "memory": "bytes of memory"}
        found = self._reserved(gpus)
        return ", ".join(f"{found[name]:g} {word}" for name, word in words.items() if name in found)


def _connected(handle: Handle) -> Any | None:
    """The library, connected to the cluster of a handle; None where our own has ended."""
    address = handle.facts["address"]
    return connected() if address is None else join(address)


def _cpus() -> int:
    """Cores that this program may use."""
    return len(os.sched_getaffinity(0))


def _environment() -> dict[str, str]:
    """Variables that say to a task where project and store are."""
    named = {name: value for name, value in os.environ.items() if name.startswith("LNL_")}
    return named | {"LNL_ROOT": str(project_root())}


def _require_shared(ray: Any, batch: Batch) -> None:
    """Refuse a cluster whose workers cannot import this code or read the folder of the batch."""
    asked = ray.remote(num_cpus=0, max_retries=0)(sees).remote(batch.folder, batch.token)
    try:
        reason = answer(ray, asked)
    except ray.exceptions.RayError as failure:
        ray.cancel(asked, force=True)
        raise _unable(failure) from failure
    if reason:
        raise LabError(
            f"a worker of the Ray cluster: {reason}",
            "nodes that share the project folder",
            "a project folder on a file system that all nodes mount",
            exit_code=1,
        )


def _unable(failure: Exception) -> LabError:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return LabError(
        f"the Ray cluster: {type(failure).__name__}: {lines[-1] if lines else 'no answer'}",
        f"a cluster that answers within {ANSWER_SECONDS:.0f} s, whose Python has this project",
        "start its nodes from the environment of this project",
        exit_code=1,
    )
