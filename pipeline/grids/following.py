"""Following a batch to its end: cells that were lost with their job are handed out again."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.errors import LabError
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import add_bundles, bundles_of
from pipeline.grids.carrying import note_failure
from pipeline.grids.engines.engine import Engine, Handle, Job, save_handle
from pipeline.grids.living import held_keys, note_over
from pipeline.grids.news import GOING_ON, Event, Reader
from pipeline.grids.progress import Progress
from pipeline.results.store import Store
from pipeline.runs.planning import Planner
from pipeline.runs.record import FINAL
from pipeline.training.processes import Processes

_ROUNDS = 5
"""Jobs that may end one after another without any cell settled."""
_LONGEST_PAUSE = 30.0
"""Seconds between two looks at cells that other programs compute."""
_TRIES = 2
"""Times that a cell may end its worker; the second time it is the last of its bundle."""
_COMPUTED = frozenset({"done", "diverged"})
_ENDINGS = _COMPUTED | {"failed", "stored"}


def submit(
    batch: Batch,
    engine: Engine,
    rows: Iterable[int],
    last: Iterable[int] = (),
    usual: float | None = None,
) -> Handle:
    """Submit cells of a batch in bundles, see `add_bundles`, and save the handle."""
    bundles = add_bundles(batch, rows, engine.slots(), engine.lengths(), last, usual)
    handle = engine.submit(batch, bundles)
    save_handle(batch, handle)
    note_over(batch, False)
    return handle


@dataclass
class Follower:
    """Waits for the jobs of a batch.

    Args:
        batch: followed.
        engine: that computes it.
        progress: shown meanwhile.
    """

    batch: Batch
    engine: Engine
    progress: Progress
    endings: Counter[str] = field(default_factory=Counter, init=False)
    """How many cells ended how."""

    def __post_init__(self) -> None:
        self._reader = Reader(self.batch.folder)
        self._row = {cell.key: row for row, cell in enumerate(self.batch.cells)}
        self._settled: set[int] = set()
        self._begun: dict[int, int] = {}  # bundle -> row of the cell that is being computed
        self._tries: Counter[int] = Counter()
        self._later: set[int] = set()
        self._rounds = 0
        self._spent: list[float] = []  # seconds of each cell that was computed

    def follow(self, handle: Handle | None, elsewhere: Iterable[int] = ()) -> Counter[str]:
        """Wait until each cell of the batch is settled.

        Args:
            handle: of the bundles that were submitted, if any.
            elsewhere: rows that were left out, since another program computes them.

        Returns:
            How many cells ended how.

        Raises:
            LabError: when a bundle was refused, when somebody cancelled a job, or when cells are
                lost with their jobs again and again.
            Interrupted: when a stop was asked for.
        """
        active = [] if handle is None else [handle]
        seen: set[int] = set()
        self._later = set(elsewhere)
        pauses = 0
        while active or self._later:
            if not active:
                time.sleep(min(max(self.engine.pause, 1.0 + pauses), _LONGEST_PAUSE))
                pauses += 1
                active = self._look_again()
            for one in list(active):
                jobs = self.engine.state(self.batch, one, self.engine.pause)
                self._take_in(self._reader.new())
                self.progress.waited()
                ended = [job for job in jobs if job.phase == "ended"]
                for job in ended:
                    if not seen.issuperset(job.bundles):
                        seen.update(job.bundles)
                        active += self._again(job)
                if len(ended) == len(jobs):
                    active.remove(one)
        return self.endings

    def _look_again(self) -> list[Handle]:
        """Hand out what was left to other programs, unless they still compute it."""
        rows, held = self._open(self._later), held_keys(self.batch)
        self._later = {row for row in rows if self.batch.cells[row].key in held}
        free = [row for row in rows if row not in self._later]
        return self._submit(free)

    def _take_in(self, news: Iterable[tuple[int, Event]]) -> None:
        for bundle, event in news:
            if event.what == "refused":
                given, allowed, remedy = json.loads(event.detail)
                raise LabError(given, allowed, remedy, exit_code=1)
            self.progress.happened(bundle, event)
            row = self._row[event.key]
            if event.what in GOING_ON:
                self._begun[bundle] = row
                continue
            if self._begun.get(bundle) == row:
                del self._begun[bundle]
            if event.what in _COMPUTED:
                self._spent.append(event.seconds)
            if event.what in _ENDINGS:
                self._settle(row, event.what, event.detail)
            elif event.what == "busy":
                self._later.add(row)

    def _settle(self, row: int, ending: str, detail: str) -> None:
        if row not in self._settled:
            self._settled.add(row)
            self._later.discard(row)
            self._rounds = 0
            self.endings[ending] += 1
            self.progress.ended(self.batch.cells[row], ending, detail)

    def _again(self, job: Job) -> list[Handle]:
        """Hand out again what an ended job has left."""
        known = {bundle.number: bundle for bundle in bundles_of(self.batch)}
        rows = [row for number in job.bundles for row in known[number].rows]
        left = [row for row in self._open(rows) if row not in self._later]
        if not left:
            return []
        if job.cancelled:
            raise LabError(
                f"job {job.id} of engine {self.engine.name} was cancelled, {len(left)} of its "
                "cells are left",
                "jobs that nobody cancels; others go on, unless they were cancelled, too",
                "the same command, which computes what is left",
                exit_code=1,
            )
        self._rounds += 1
        if self._rounds > _ROUNDS:
            raise self._no_progress(len(left), job)
        culprits = {
            row for number in job.bundles if (row := self._begun.pop(number, None)) is not None
        }
        on_trial = self._on_trial(culprits & set(left), job) if job.blames_cell else set()
        rest = [row for row in left if row not in self._settled]
        return self._submit(rest, on_trial)

    def _submit(self, rows: Sequence[int], last: Iterable[int] = ()) -> list[Handle]:
        """Hand out cells, if there are any, in bundles by what cells took here so far."""
        usual = sum(self._spent) / len(self._spent) if self._spent else None
        return [submit(self.batch, self.engine, rows, last, usual)] if rows else []

    def _on_trial(self, culprits: set[int], job: Job) -> set[int]:
        """Those that get one more try; a cell that ended two workers has failed."""
        again = set()
        for row in culprits:
            self._tries[row] += 1
            if self._tries[row] < _TRIES:
                again.add(row)
                continue
            cell, detail = self.batch.cells[row], f"{job.reason}, twice"
            planned = cell.planned(Planner(self.batch.params, makes=False))
            note_failure(planned, detail, Processes())
            self._settle(row, "failed", detail)
        return again

    def _open(self, rows: Iterable[int]) -> list[int]:
        """Rows that are not settled, in order; what the store has settled meanwhile is."""
        asked = [row for row in rows if row not in self._settled]
        found = Store().runs([self.batch.cells[row].key for row in asked])
        for key, status, at in found.select("key", "status", "finished_at").collect().iter_rows():
            if status in FINAL or (
                status == "failed" and at is not None and at > self.batch.frozen_at
            ):
                self._settle(self._row[key], "stored" if status in FINAL else status, "")
        return [row for row in asked if row not in self._settled]

    def _no_progress(self, n: int, job: Job) -> LabError:
        return LabError(
            f"{_ROUNDS} jobs in a row ended without a stored cell, {n} cells left: "
            f"{job.reason or 'no reason given'}",
            "jobs that reach the store and end their cells",
            f"the logs in {self.batch.folder / 'logs'}; is LNL_STORE the same place on all nodes?",
            exit_code=1,
        )
