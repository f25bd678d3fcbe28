"""What happens to the cells of a bundle, a line each, for those who watch.

Nothing hangs on it: what counts is in the store. A bundle has one writer at a time.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.runs.telling import Milestone

What = Literal[
    "begun", "resumed", "epoch",
    "done", "diverged", "failed", "stored", "busy", "skipped", "stopped", "refused",
]  # fmt: skip
"""What happened: how a cell began, goes on or ended, or why the whole bundle was refused."""
GOING_ON: frozenset[What] = frozenset({"begun", "resumed", "epoch"})
"""After which a cell is being computed."""
COMPUTED: frozenset[What] = frozenset({"done", "diverged"})
"""Ends of cells that were computed to their end."""
_LEAST_SECONDS = 1.0
"""Between two epochs of which a line tells."""


class Event(NamedTuple):
    """A line of news."""

    at: float
    """Seconds since 1970, by the clock of the host."""
    key: str
    """Of the cell; empty where the whole bundle is meant."""
    what: What
    detail: str = ""
    seconds: float = 0.0
    """That the cell took in this sitting."""
    host: str = ""
    process: int = 0


def news_path(folder: Path, bundle: int) -> Path:
    """Where the news of a bundle lie."""
    return folder / "news" / f"{bundle}.jsonl"


@dataclass
class Reporter:
    """Writes the news of a bundle.

    Args:
        path: see `news_path`; None to say nothing, as processes beside the main one do.
    """

    path: Path | None
    _began: float = field(default=0.0, init=False)
    _key: str = field(default="", init=False)
    _told_at: float = field(default=0.0, init=False)

    def begun(self, key: str) -> None:
        """A cell begins."""
        self._key, self._began = key, time.perf_counter()
        self._told_at = self._began
        self._write(key, "begun", "", 0.0)

    def told(self, milestone: Milestone) -> None:
        """The cell, or the run that makes its encoder, is resumed or has ended an epoch."""
        whose = "" if milestone.run.key == self._key else "of its encoder, "
        detail = f"{milestone.n_done}/{milestone.run.settings.epochs}"
        now = time.perf_counter()
        if milestone.record is None:
            if milestone.n_done:
                self._write(self._key, "resumed", f"{whose}{detail}", 0.0)
        elif now - self._told_at >= _LEAST_SECONDS:
            self._told_at = now
            self._write(self._key, "epoch", f"{whose}{detail}", 0.0)

    def ended(self, key: str, what: What, detail: str = "") -> None:
        """A cell has ended, or was left."""
        self._write(key, what, detail, time.perf_counter() - self._began if self._began else 0.0)
        self._began = 0.0

    def _write(self, key: str, what: What, detail: str, seconds: float) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        event = Event(time.time(), key, what, detail, seconds, platform.node(), os.getpid())
        # One write of one line: a reader meets whole lines, and at most a last one without its end.
        with self.path.open("a") as file:
            file.write(json.dumps(event) + "\n")


class Reader:
    """Reads the news of a batch, each line once.

    Args:
        folder: of the batch.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self) -> Iterator[tuple[int, Event]]:
        """Bundle and event of each line since the last call, in order within a bundle."""
        for path in sorted((self._folder / "news").glob("*.jsonl")):
            start = self._read.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self._read[path] = start + len(whole)
            for line in whole.splitlines():
                yield int(path.stem), Event(*json.loads(line))
