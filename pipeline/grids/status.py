"""How a grid stands: cells done, running, waiting and failed; its jobs; when it should end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from pipeline.config import Params
from pipeline.grids.batch import Batch, read_batch
from pipeline.grids.expected import Ended, end_expected, seconds_left
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.living import Living, batch_folders, living
from pipeline.grids.news import COMPUTED, GOING_ON, Event, Reader
from pipeline.results.claims import Claimed, Holder, claims
from pipeline.results.store import Store
from pipeline.runs.record import FINAL
from pipeline.runs.telling import duration
from pipeline.storage.places import store_place

WIDTH = 100
_MOST_FAILED, _MOST_RUNNING = 20, 40


class _Cell(NamedTuple):
    cell: FrozenCell
    status: str | None
    detail: str
    claimed: Claimed | None
    """By a program that is alive, whether of this batch or not."""


def print_status(grid: str, params: Params) -> None:
    """Print how the newest batch of a grid stands, and all jobs of the grid.

    Args:
        grid: its name.
        params: with the `engines` block.
    """
    folders = batch_folders(grid)
    if not folders:
        print(f"grid {grid}: nothing was started yet; --plan lists what would run")
        return
    batch = read_batch(folders[-1])
    news, cells = _news(batch), _cells(batch)
    jobs = living(grid, params)
    console = Console(width=WIDTH, highlight=False)
    for line in _summary(batch, cells, news, jobs):
        console.print(line, markup=False, soft_wrap=True)
    for table in (_running(cells, news), _failed(cells)):
        if table.row_count:
            console.print(table)


def _news(batch: Batch) -> list[Event]:
    return sorted(event for _, event in Reader(batch.folder).new())


def _cells(batch: Batch) -> list[_Cell]:
    keys = [cell.key for cell in batch.cells]
    columns = ("key", "status", "status_detail")
    rows = Store().runs(keys).select(columns).collect().iter_rows()
    stored = {key: (status, detail or "") for key, status, detail in rows}
    held = {one.key: one for one in claims(store_place()) if one.alive}
    return [
        _Cell(cell, *stored.get(cell.key, (None, "")), held.get(cell.key)) for cell in batch.cells
    ]


def _is_running(one: _Cell) -> bool:
    return one.status not in FINAL and one.claimed is not None


def _seconds_open(one: _Cell) -> float:
    """For how long it is computed by now; 0 if it is not."""
    if one.claimed is None or one.status in FINAL:
        return 0.0
    # The holder's clock may be ahead of ours.
    return max((datetime.now(UTC) - one.claimed.since).total_seconds(), 0.0)


def _has_failed(one: _Cell) -> bool:
    return one.status == "failed" and not _is_running(one)


def _summary(
    batch: Batch, cells: Sequence[_Cell], news: Sequence[Event], jobs: Sequence[Living]
) -> list[str]:
    before = batch.n_cells - len(cells)
    counts = Counter(one.status for one in cells if one.status in FINAL)
    running, failed = sum(map(_is_running, cells)), sum(map(_has_failed, cells))
    waiting = len(cells) - counts.total() - running - failed
    diverged = f" ({counts['diverged']} diverged)" if counts["diverged"] else ""
    n_stopped = sum(one.status == "running" and not _is_running(one) for one in cells)
    stopped = f" ({n_stopped} stopped)" if n_stopped else ""
    lines = [
        f"grid {batch.grid}: {batch.n_cells} cells: {before + counts.total()} done{diverged}, "
        f"{running} running, {waiting} waiting{stopped}, {failed} failed",
        f"batch {batch.folder.name}: {len(cells)} cells since "
        f"{batch.frozen_at.astimezone():%d %b %H:%M}{_pace(cells, news, running)}",
    ]
    for one in jobs:
        phases = Counter(job.phase for job in one.jobs)
        words = ", ".join(f"{n} {phase}" for phase, n in sorted(phases.items()))
        reasons = {job.reason for job in one.jobs if job.phase == "waiting" and job.reason}
        why = f" ({', '.join(sorted(reasons))})" if reasons else ""
        lines.append(f"engine {one.handle.engine}: {one.handle.jobs}: {words}{why}")
    return lines if jobs else [*lines, "no job waits or runs"]


def _pace(cells: Sequence[_Cell], news: Sequence[Event], running: int) -> str:
    """Share of the workers' time in which they computed, and when they should be through."""
    now = time.time()
    open_keys = {one.cell.key for one in cells if _is_running(one)}
    spans: dict[tuple[str, int], tuple[float, float]] = {}
    for event in news:
        place = event.host, event.process
        first, _ = spans.get(place, (event.at, 0.0))
        is_open = event.what in GOING_ON and event.key in open_keys
        spans[place] = first, now if is_open else event.at
    computed = sum(event.seconds for event in news) + sum(map(_seconds_open, cells))
    wall = sum(last - first for first, last in spans.values())
    busy = f"; {min(computed / wall, 1):.0%} busy" if wall > 0 else ""
    past = {one.cell.key: one.cell.seconds for one in cells}
    open_cells = [one for one in cells if one.status not in FINAL and not _has_failed(one)]
    left = seconds_left(
        [one.cell for one in open_cells],
        {one.cell.key: _seconds_open(one) for one in open_cells},
        [Ended(past[event.key], event.seconds) for event in news if event.what in COMPUTED],
    )
    return busy if not running or left is None else f"{busy}; {end_expected(left / running)}"


def _running(cells: Sequence[_Cell], news: Sequence[Event]) -> Table:
    table = _table("running", "epoch", "on", "for")
    epochs = {event.key: event.detail for event in news if event.what in GOING_ON}
    found = sorted(filter(_is_running, cells), key=_seconds_open, reverse=True)
    for one in found[:_MOST_RUNNING]:
        holder = one.claimed.holder if one.claimed else Holder()
        place = f"{holder.host} {holder.job or holder.pid}"
        epoch = epochs.get(one.cell.key, "")
        table.add_row(one.cell.key, one.cell.text, epoch, place, duration(_seconds_open(one)))
    return table


def _failed(cells: Sequence[_Cell]) -> Table:
    table = _table("failed", "why")
    for one in [one for one in cells if _has_failed(one)][:_MOST_FAILED]:
        table.add_row(one.cell.key, one.cell.text, one.detail)
    return table


def _table(what: str, *columns: str) -> Table:
    table = Table("key", what, *columns, box=None, pad_edge=False, header_style="")
    table.columns[0].no_wrap = True
    return table
