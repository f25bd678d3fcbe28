"""Progress of a grid: a live table on a terminal; elsewhere a line a cell, and one a minute."""

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
from pipeline.grids.expected import Ended, end_expected, seconds_left
from pipeline.grids.frozen_cell import FrozenCell
from pipeline.grids.news import COMPUTED, Event
from pipeline.runs.telling import duration

_MOST_ROWS = 16
_ESTIMATE = 1.0
"""Seconds for which an estimate of what is left holds: it asks every cell."""
_SILENCE = 60.0
"""Seconds without a line after which one says how the cells stand, where there is no table."""


class Progress:
    """Shows the cells of a batch as they begin and end.

    Args:
        batch: shown.
        slots: cells that may be computed at the same time.
        has_table: whether a terminal shows a table; not beside what this program itself prints.
    """

    def __init__(self, batch: Batch, slots: int, has_table: bool = True) -> None:
        self._batch, self._slots = batch, slots
        self._cells = {cell.key: cell for cell in batch.cells}
        self._left = dict(self._cells)
        self._running: dict[int, Event] = {}  # by bundle
        self._epochs: dict[int, str] = {}  # by bundle
        self._endings: Counter[str] = Counter()
        self._seconds = 0.0
        self._computed: list[Ended] = []
        self._estimate: tuple[float, float | None] = (0.0, None)  # when, seconds left
        self._since = self._said_at = time.time()
        self._console = Console()
        self._is_live = has_table and self._console.is_terminal

    @contextmanager
    def shown(self) -> Iterator[None]:
        """While entered, a terminal shows the table."""
        if not self._is_live:
            yield
            return
        with Live(
            get_renderable=self._table, console=self._console, refresh_per_second=2, transient=True
        ):
            yield

    def happened(self, bundle: int, event: Event) -> None:
        """Take in a line of news."""
        if event.what == "epoch":
            self._epochs[bundle] = event.detail
        elif event.what == "resumed":
            self._epochs[bundle] = event.detail
            self._say(
                f"{event.key} resumes after epoch {event.detail}: {self._cells[event.key].text}"
            )
        elif event.what == "begun":
            self._running[bundle] = event
        else:
            self._seconds += event.seconds
            if event.what in COMPUTED:
                self._computed.append(Ended(self._cells[event.key].seconds, event.seconds))
            self._running.pop(bundle, None)
            self._epochs.pop(bundle, None)

    def ended(self, cell: FrozenCell, ending: str, detail: str) -> None:
        """A cell has ended."""
        self._endings[ending] += 1
        self._left.pop(cell.key, None)
        line = f"{cell.key} {ending:8} {cell.text} {detail}".rstrip()
        self._say(line if self._is_live else f"{line} [{self._standing()}]")

    def waited(self) -> None:
        """Say how the cells stand after a while without a word, where no table shows it."""
        if self._is_live or not self._running or time.time() - self._said_at < _SILENCE:
            return
        running = sorted(self._running.items(), key=lambda one: one[1].at)
        cells = [f"{event.key} {self._epochs.get(bundle, '')}".strip() for bundle, event in running]
        more = f" and {len(cells) - _MOST_ROWS} more" if len(cells) > _MOST_ROWS else ""
        self._say(f"{self._standing()}; running: {', '.join(cells[:_MOST_ROWS])}{more}")

    def _say(self, line: str) -> None:
        self._said_at = time.time()
        if self._is_live:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line)

    def _n_done(self) -> int:
        """Cells of the whole grid that have ended, those of earlier batches among them."""
        return self._batch.n_cells - len(self._batch.cells) + self._endings.total()

    def _standing(self) -> str:
        """Done and total, and when the rest should be through."""
        now, counts = time.time(), f"{self._n_done()} of {self._batch.n_cells} cells"
        if now - self._estimate[0] >= _ESTIMATE:
            # Copies: the table is drawn by a thread of its own.
            open_for = {event.key: now - event.at for event in list(self._running.values())}
            left = seconds_left(list(self._left.values()), open_for, list(self._computed))
            self._estimate = now, left
        n_left, seconds = len(self._left), self._estimate[1]
        if not n_left or not seconds:
            return counts
        return f"{counts}; {end_expected(seconds / min(self._slots, n_left))}"

    def _table(self) -> Group:
        now = time.time()
        wall = now - self._since
        counts = ", ".join(f"{count} {ending}" for ending, count in sorted(self._endings.items()))
        running = sorted(self._running.items(), key=lambda one: one[1].at)
        begun = sum(now - event.at for _, event in running)
        share = (self._seconds + begun) / (self._slots * wall) if wall else 0.0
        title = f"{self._batch.grid}: {self._standing()}; {min(share, 1):.0%} busy"
        table = Table.grid(padding=(0, 2))
        for is_whole in (True, False, True, False, True):
            table.add_column(no_wrap=is_whole)
        for bundle, event in running[:_MOST_ROWS]:
            n_done = self._epochs.get(bundle)
            epoch = f"epoch {n_done}" if n_done else ""
            text, took = self._cells[event.key].text, duration(now - event.at)
            words = (event.key, text, epoch, event.host, took)
            table.add_row(*map(Text, words))
        return Group(
            Text(f"{title}{f' ({counts})' if counts else ''}", no_wrap=True),
            ProgressBar(total=self._batch.n_cells, completed=self._n_done(), width=60),
            table,
        )
