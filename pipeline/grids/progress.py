"""Progress of a grid: a live table on a terminal, a line a cell elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.grids.batch import Batch
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.news import Event
from pipeline.runs.telling import duration

_MOST_ROWS = 16


class Progress:
    """Shows the cells of a batch as they begin and end.

    Args:
        batch: shown.
        slots: cells that may be computed at the same time.
    """

    def __init__(self, batch: Batch, slots: int) -> None:
        self._batch, self._slots = batch, slots
        self._texts = {cell.key: cell.text for cell in batch.cells}
        self._running: dict[int, Event] = {}  # by bundle
        self._endings: Counter[str] = Counter()
        self._seconds = 0.0
        self._since = time.time()
        self._console = Console()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While entered, a terminal shows the table."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True
        ):
            yield

    def happened(self, bundle: int, event: Event) -> None:
        """Take in a line of news."""
        if event.what == "begun":
            self._running[bundle] = event
        else:
            self._seconds += event.seconds
            self._running.pop(bundle, None)

    def ended(self, cell: FrozenCell, ending: str, detail: str) -> None:
        """A cell has ended."""
        self._endings[ending] += 1
        line = f"{cell.key} {ending:8} {cell.text} {detail}".rstrip()
        if self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line)

    def _table(self) -> Group:
        now, n, ended = time.time(), len(self._batch.cells), self._endings.total()
        wall = now - self._since
        counts = ", ".join(f"{count} {ending}" for ending, count in sorted(self._endings.items()))
        begun = sum(now - event.at for event in self._running.values())
        share = (self._seconds + begun) / (self._slots * wall) if wall else 0.0
        left = f", about {duration(wall / ended * (n - ended))} left" if ended else ""
        title = f"{self._batch.grid}: {ended} of {n} cells{left}, {min(share, 1):.0%} busy"
        table = Table.grid(padding=(0, 2))
        for event in sorted(self._running.values(), key=lambda one: one.at)[:_MOST_ROWS]:
            table.add_row(event.key, self._texts[event.key], event.host, duration(now - event.at))
        return Group(
            Text(f"{title}{f' ({counts})' if counts else ''}", no_wrap=True),
            ProgressBar(total=n, completed=ended, width=60),
            table,
        )
