"""The program of every job: the cells of one bundle of a frozen batch, one after another.

    uv run python -m pipeline.grids.worker results/engine/GRID/BATCH 0

With RANK, WORLD_SIZE and LOCAL_RANK in the environment, as torchrun and launchers of clusters set
them, the processes compute each cell together.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tyro.conf import Positional

from pipeline.command_line import read_flags
from pipeline.config import Execution, Params
from pipeline.errors import Interrupted, LabError, program, suggest
from pipeline.grids.batch import Batch, read_batch
from pipeline.grids.bundles import Bundle, bundles_of
from pipeline.grids.carrying import carry_out_cell
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.news import Reporter, news_path
from pipeline.results.store import Store
from pipeline.runs.planning import Planner
from pipeline.runs.record import FINAL
from pipeline.runs.run import Outcome
from pipeline.runs.telling import Milestone, Told, nobody
from pipeline.training.processes import Processes

_ASKED = 64
"""Cells about which the store is asked at once: other programs go on meanwhile."""


@dataclass(frozen=True)
class Flags:
    """Compute a bundle of a batch."""

    folder: Positional[Path]
    """Folder of the batch."""
    number: Positional[int]
    """Of the bundle."""
    token: str | None = None
    """Text that the folder's file `token` must hold."""


def carry_out_bundle(folder: Path, number: int, token: str | None = None) -> None:
    """Compute the cells of a bundle that are not stored; all processes of a job call this together.

    Args:
        folder: of the batch.
        number: of the bundle.
        token: of the batch, if the caller knows it: another folder of that name is refused.

    Raises:
        LabError: before any cell, when this machine does not see the folder, or when code, params
            or inputs have changed since the batch was planned. A failed cell is a row, no error.
        Interrupted: when a stop was asked for; the state is saved, and the same call continues.
    """
    batch = read_batch(folder, token)
    known = {str(bundle.number): bundle for bundle in bundles_of(batch)}
    if str(number) not in known:
        raise LabError(f"bundle {number} of batch {folder}", *suggest(str(number), known))
    bundle = known[str(number)]
    make_worker(batch, bundle).carry_out(bundle)


def make_worker(
    batch: Batch, bundle: Bundle, params: Params | None = None, told: Told = nobody
) -> Worker:
    """A worker of this program for a bundle and others of the same precision.

    Args:
        batch: of the bundle.
        bundle: the first one.
        params: as they are now; read again for each bundle by default.
        told: how each run goes, besides the news.

    Raises:
        LabError: when the device does not have the precision.
    """
    with _telling(batch, bundle):
        return Worker(batch, Processes(bundle.precision), params, told)


@contextmanager
def _telling(batch: Batch, bundle: Bundle) -> Iterator[None]:
    """While entered, an error is news of the whole bundle, too."""
    try:
        yield
    except LabError as failure:
        if os.environ.get("RANK", "0") == "0":
            parts = (failure.given, failure.allowed, failure.remedy)
            Reporter(news_path(batch.folder, bundle.number)).ended("", "refused", json.dumps(parts))
        raise


class Worker:
    """Computes cells of a batch; what they share stays open between them.

    Args:
        batch: of the cells.
        processes: to train on.
        params: as they are now; read again for each bundle by default.
        told: how each run goes, besides the news.
    """

    def __init__(
        self,
        batch: Batch,
        processes: Processes,
        params: Params | None = None,
        told: Told = nobody,
    ) -> None:
        self._batch, self._processes, self._params = batch, processes, params
        self._told = told
        self._planner = Planner(batch.params, makes=False)
        self._has_computed = False

    def carry_out(self, bundle: Bundle) -> None:
        """Compute cells that are not stored; those that another program computes are left.

        Args:
            bundle: of the batch, in the precision of the processes.

        Raises:
            LabError: before any cell, when code, params or inputs have changed since the batch was
                planned.
            Interrupted: when a stop was asked for; the state is saved.
        """
        main = self._processes.is_main
        with _telling(self._batch, bundle), self._processes.together():
            if main:
                self._batch.check(self._params)
        news = Reporter(news_path(self._batch.folder, bundle.number) if main else None)
        cells = [self._batch.cells[row] for row in bundle.rows]
        left = []
        for start in range(0, len(cells), _ASKED):
            some = cells[start : start + _ASKED]
            settled = self._settled(some)
            for cell in some:
                if self._processes.largest(int(cell.key in settled)):
                    news.ended(cell.key, "skipped")
                elif self._compute(cell, news).ending == "busy":
                    left.append(cell)
        for cell in left:
            self._compute(cell, news)

    def _settled(self, cells: Sequence[FrozenCell]) -> set[str]:
        """Keys that need no computing: stored, or failed since the batch was planned."""
        if not self._processes.is_main or self._batch.execution.force:
            return set()
        columns = ("key", "status", "finished_at")
        rows = Store().runs([cell.key for cell in cells]).select(columns).collect().iter_rows()
        return {
            key
            for key, status, at in rows
            if status in FINAL or (status == "failed" and self._is_later(at))
        }

    def _is_later(self, at: datetime | None) -> bool:
        return at is not None and at > self._batch.frozen_at

    def _compute(self, cell: FrozenCell, news: Reporter) -> Outcome:
        def told(milestone: Milestone) -> None:
            news.told(milestone)
            self._told(milestone)

        news.begun(cell.key)
        try:
            outcome = self._outcome(cell, self._batch.execution, told)
        except Interrupted as stop:
            news.ended(cell.key, "stopped", str(stop))
            raise
        news.ended(cell.key, outcome.ending, outcome.detail)
        if not self._has_computed:
            # Each run ends with a full collection; what the first one has loaded is there to stay.
            gc.freeze()
            atexit.register(gc.unfreeze)  # libraries report what nobody collects as leaks
            self._has_computed = True
        return outcome

    def _outcome(self, cell: FrozenCell, execution: Execution, told: Told) -> Outcome:
        try:
            with self._processes.together():
                planned = cell.planned(self._planner)
        except LabError as failure:
            return Outcome(cell.key, "failed", str(failure), "failed")
        return carry_out_cell(planned, execution, self._processes, told)


@program
def main() -> None:
    """Compute a bundle."""
    flags = read_flags(Flags, __doc__)
    carry_out_bundle(flags.folder, flags.number, flags.token)


if __name__ == "__main__":
    main()
