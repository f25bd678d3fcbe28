"""The keeper of the tasks of one submission: an actor on the cluster, so that no program must wait.

Ray ends the tasks of a program that is gone. These belong to the keeper, which outlives the program
that submitted them, starts anew on another node when its own is lost, and ends after the last task.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.files import replacing
from pipeline.grids.bundles import Bundle
from pipeline.grids.engines.engine import Job
from pipeline.grids.engines.ray_cluster import library
from pipeline.grids.engines.ray_worker import compute

_LOOK_SECONDS = 0.5
_MOVES = 20
"""Times that a bundle may lose its node and start again elsewhere."""


class _Ending(NamedTuple):
    reason: str
    blames_cell: bool = False
    moves: bool = False
    """Whether its node was lost, so that it starts again elsewhere."""


class Keeper:
    """Starts the tasks of bundles and knows how they stand.

    Args:
        folder: of the batch.
        token: of the batch.
        bundles: to compute.
        options: what Ray reserves for the task of each bundle.
        threads: of torch.
        most: tasks at the same time, if there is a limit.
        environment: variables that name the project and the store.
        report: file for how all tasks ended.
    """

    def __init__(
        self,
        folder: Path,
        token: str,
        bundles: Sequence[Bundle],
        options: Sequence[Mapping[str, float]],
        threads: int,
        most: int | None,
        environment: Mapping[str, str],
        report: Path,
    ) -> None:
        self._ray = library()
        self._batch, self._threads, self._environment = (folder, token), threads, environment
        self._report, self._most = report, most or len(bundles)
        self._waiting = list(zip(bundles, options, strict=True))
        self._jobs = {one.number: Job(f"bundle {one.number}", (one.number,), "waiting")
                      for one in bundles}  # fmt: skip
        self._tasks: dict[Any, tuple[Bundle, Mapping[str, float]]] = {}
        self._moves: Counter[int] = Counter()
        self._cancelled = False
        self._changed = threading.Condition()
        # A process that had another GPU or precision before is no use to a bundle.
        once = len({one.precision for one in bundles}) > 1 or any(one.gpus for one in bundles)
        self._task = self._ray.remote(max_calls=int(once), max_retries=0)(run)
        threading.Thread(target=self._keep, daemon=True).start()

    def state(self, patience: float) -> list[Job]:
        """The jobs; waits for a change for `patience` seconds at most."""
        with self._changed:
            self._changed.wait(patience)
            return list(self._jobs.values())

    def begun(self, number: int, host: str, process: int) -> None:
        """A task says that it has begun."""
        with self._changed:
            if self._jobs[number].phase != "ended":
                self._jobs[number] = Job(f"process {process}", (number,), "running", "", host)
                self._changed.notify_all()

    def cancel(self) -> None:
        """Cancel what waits, and ask what runs to save its state."""
        with self._changed:
            self._cancelled = True
            for bundle, _ in self._waiting:
                self._end(bundle.number, _Ending("cancelled"))
            self._waiting.clear()
            tasks = list(self._tasks)
        for task in tasks:
            self._ray.cancel(task, recursive=False)

    def _keep(self) -> None:
        me = self._ray.get_runtime_context().current_actor
        while True:
            with self._changed:
                while self._waiting and len(self._tasks) < self._most:
                    bundle, options = self._waiting.pop(0)
                    call = (*self._batch, bundle, self._threads, self._environment, me)
                    self._tasks[self._task.options(**options).remote(*call)] = bundle, options
                running = list(self._tasks)
            if not running:
                break
            ended, _ = self._ray.wait(running, timeout=_LOOK_SECONDS)
            for task in ended:
                ending = self._how(task)
                with self._changed:
                    self._settle(*self._tasks.pop(task), ending)
        with replacing(self._report) as temporary:
            temporary.write_text(json.dumps(list(self._jobs.values())))
        self._ray.kill(me)

    def _how(self, task: Any) -> _Ending:
        errors = self._ray.exceptions
        try:
            reason, stopped = self._ray.get(task)
        except errors.TaskCancelledError:
            return _Ending("cancelled")
        except errors.NodeDiedError:
            return _Ending("its node was lost", moves=True)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            return _Ending("worker was killed (was memory short?)", blames_cell=True)
        except errors.RayError as failure:
            lines = str(failure).strip().splitlines() or [type(failure).__name__]
            return _Ending(lines[-1])
        return _Ending(reason, moves=stopped)

    def _settle(self, bundle: Bundle, options: Mapping[str, float], ending: _Ending) -> None:
        number = bundle.number
        if ending.moves and not self._cancelled and self._moves[number] < _MOVES:
            self._moves[number] += 1
            self._waiting.append((bundle, options))
            self._jobs[number] = Job(
                f"bundle {number}", (number,), "waiting", f"starts again: {ending.reason}"
            )
            self._changed.notify_all()
        else:
            self._end(number, ending)

    def _end(self, number: int, ending: _Ending) -> None:
        self._jobs[number] = self._jobs[number]._replace(
            phase="ended",
            reason=ending.reason,
            blames_cell=ending.blames_cell,
            cancelled=self._cancelled,
        )
        self._changed.notify_all()


def run(
    folder: Path,
    token: str,
    bundle: Bundle,
    threads: int,
    environment: Mapping[str, str],
    keeper: Any,
) -> tuple[str, bool]:
    """The task of a bundle; see `compute`."""
    keeper.begun.remote(bundle.number, platform.node(), os.getpid())
    return compute(folder, token, bundle, threads, environment)


def read_report(path: Path) -> list[Job]:
    """How the tasks of a keeper that is gone ended; empty where it left no report."""
    if not path.exists():
        return []
    return [Job(one[0], tuple(one[1]), *one[2:]) for one in json.loads(path.read_text())]
