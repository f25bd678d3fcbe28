"""Batches of a grid that earlier programs submitted, and how their jobs stand."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Params
from pipeline.errors import LabError
from pipeline.grids.batch import Batch, batches_folder, read_batch
from pipeline.grids.bundles import bundles_of
from pipeline.grids.engines.choice import choose_engine
from pipeline.grids.engines.engine import Engine, Handle, Job, handles

_KEPT = 5
"""Folders of batches that stay in any case."""
_DAY = 86_400.0
_OVER = "over"
"""File that says so in a folder."""


class Living(NamedTuple):
    """A submission of which not all jobs have ended."""

    batch: Batch
    engine: Engine
    handle: Handle
    jobs: list[Job]


def living(grid: str, params: Params, but: Path | None = None) -> list[Living]:
    """Submissions of a grid with jobs that wait or run, the oldest first.

    Args:
        grid: its name.
        params: with the `engines` block.
        but: folder of a batch that is left out.
    """
    folders = [one for one in batch_folders(grid) if one != but and not (one / _OVER).exists()]
    return [one for folder in folders for one in _living_of(folder, params)]


def _living_of(folder: Path, params: Params) -> list[Living]:
    found = []
    try:
        batch = read_batch(folder)
        submitted = handles(batch)
        for handle in submitted:
            engine = choose_engine(handle.engine, params)
            jobs = engine.state(batch, handle, 0.0)
            if any(job.phase != "ended" for job in jobs):
                found.append(Living(batch, engine, handle, jobs))
    except LabError as trouble:
        print(f"note: batch {folder.name} is passed over: {trouble.given}", file=sys.stderr)
        return []
    if submitted and not found:
        note_over(batch)
    return found


def held_keys(batch: Batch) -> set[str]:
    """Keys of cells in jobs of other batches of the grid that wait or run without their program.

    Claims keep all programs apart; these cells need not even be submitted.
    """
    others = living(batch.grid, batch.params, but=batch.folder)
    return {key for one in others if one.engine.stays for key in _keys(one)}


def _keys(one: Living) -> Iterator[str]:
    numbers = {number for job in one.jobs if job.phase != "ended" for number in job.bundles}
    for bundle in bundles_of(one.batch):
        if bundle.number in numbers:
            yield from (one.batch.cells[row].key for row in bundle.rows)


def cancel(grid: str, params: Params) -> None:
    """End all jobs of a grid, and say which; what they compute is saved.

    Args:
        grid: its name.
        params: with the `engines` block.
    """
    found = living(grid, params)
    for one in found:
        one.engine.cancel(one.batch, one.handle)
        print(f"cancelled: {one.handle.engine}: {one.handle.jobs}")
    print(f"grid {grid}: {len(found)} submissions cancelled; the same command continues")


def batch_folders(grid: str) -> list[Path]:
    """Folders of the batches of a grid, the oldest first."""
    folders = [path.parent for path in batches_folder(grid).glob("*/batch.json")]
    return sorted(folders, key=lambda folder: folder.name.split("-")[-3:])


def note_over(batch: Batch, is_over: bool = True) -> None:
    """Note that all jobs of a batch have ended, or that there are new ones.

    Of the folders of batches that are over for a day, the newest stay.
    """
    if not is_over:
        (batch.folder / _OVER).unlink(missing_ok=True)
        return
    (batch.folder / _OVER).touch()
    for folder in batch_folders(batch.grid)[:-_KEPT]:
        with suppress(OSError):  # another program tidies up, too
            if time.time() - (folder / _OVER).stat().st_mtime > _DAY:
                shutil.rmtree(folder)
