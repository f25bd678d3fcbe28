"""Bundles: cells of equal resources that are handed out together, 10 to 60 minutes of work."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.files import replacing
from pipeline.grids.batch import Batch
from pipeline.grids.frozen_cell import FrozenCell

_UNKNOWN = 4
"""Least number of bundles a slot where nobody knows what a cell takes."""


class Bundle(NamedTuple):
    """Cells that one program computes, one after another."""

    number: int
    """Its name within the batch."""
    gpus: int
    """Processes of each cell, one a GPU; 0 for one process without GPU."""
    precision: str
    """A program uses one."""
    seconds: float | None
    """What it should take by past runs; None where nobody knows."""
    rows: list[int]
    """Rows of cells.parquet, in the order to compute them."""


class Lengths(NamedTuple):
    """How long bundles of an engine should take, in seconds, where past runs tell."""

    shortest: float
    longest: float
    per_slot: int = 1
    """Bundles a slot that are worth having, so that slots end together."""


def add_bundles(
    batch: Batch,
    rows: Iterable[int],
    slots: int,
    lengths: Lengths,
    last: Iterable[int] = (),
    usual: float | None = None,
) -> list[Bundle]:
    """Put cells into bundles and note them in the folder of the batch.

    Args:
        batch: of the cells.
        rows: of its table.
        slots: bundles that are computed at the same time.
        lengths: how long bundles should take.
        last: rows that come at the end of a bundle, so that one that ends its program takes no
            other cell with it.
        usual: seconds of a cell, where past runs tell of none; None where nobody knows.

    Returns:
        The new bundles; their numbers go on from those that the batch has.
    """
    late = set(last)
    groups: dict[tuple[int, str], list[int]] = {}
    for row in [*_in_order(batch, set(rows) - late), *sorted(late)]:
        cell = batch.cells[row]
        groups.setdefault((cell.gpus, cell.precision), []).append(row)
    parts = [
        part
        for group in groups.values()
        for part in _parts(batch.cells, group, slots, lengths, usual)
    ]
    first = sum(len(_read(path)) for path in _rounds(batch))
    bundles = [_bundle(first + n, batch.cells, part) for n, part in enumerate(parts)]
    with replacing(batch.folder / "bundles" / f"{len(_rounds(batch))}.json") as temporary:
        temporary.write_text(json.dumps([bundle._asdict() for bundle in bundles]))
    return bundles


def bundles_of(batch: Batch) -> list[Bundle]:
    """All bundles of a batch, by number."""
    return [bundle for path in _rounds(batch) for bundle in _read(path)]


def _rounds(batch: Batch) -> list[Path]:
    return sorted((batch.folder / "bundles").glob("*.json"), key=lambda path: int(path.stem))


def _read(path: Path) -> list[Bundle]:
    return [Bundle(**facts) for facts in json.loads(path.read_text())]


def _in_order(batch: Batch, rows: Iterable[int]) -> list[int]:
    """Cells with the same encoders together; another batch of the grid starts elsewhere."""
    ordered = sorted(rows, key=lambda row: (batch.cells[row].encoders, row))
    start = int(batch.token[:8], 16) * len(ordered) >> 32
    return ordered[start:] + ordered[:start]


def _parts(
    cells: Sequence[FrozenCell],
    rows: list[int],
    slots: int,
    lengths: Lengths,
    usual: float | None,
) -> list[list[int]]:
    """Cut an order into parts of about equal cost."""
    known = [seconds for row in rows if (seconds := cells[row].seconds) is not None]
    if known:
        usual = sum(known) / len(known)
    if usual is None:
        # The first one ends soon, and then past runs tell.
        return [
            rows[:1],
            *_cut(rows[1:], [1.0] * (len(rows) - 1), max(_UNKNOWN, lengths.per_slot) * slots),
        ]
    costs = [usual if (own := cells[row].seconds) is None else own for row in rows]
    least = math.ceil(sum(costs) / lengths.longest)
    most = math.ceil(sum(costs) / lengths.shortest)
    return _cut(rows, costs, max(least, min(slots * lengths.per_slot, most)))


def _cut(rows: list[int], costs: list[float], n: int) -> list[list[int]]:
    total, before = sum(costs), 0.0
    parts: dict[int, list[int]] = {}
    for row, cost in zip(rows, costs, strict=True):
        middle = (before + cost / 2) / total if total else 0.0
        parts.setdefault(int(middle * n), []).append(row)
        before += cost
    return list(parts.values())


def _bundle(number: int, cells: Sequence[FrozenCell], rows: list[int]) -> Bundle:
    seconds = [cells[row].seconds for row in rows]
    known = [one for one in seconds if one is not None]
    total = sum(known) * len(rows) / len(known) if known else None
    return Bundle(number, cells[rows[0]].gpus, cells[rows[0]].precision, total, rows)
