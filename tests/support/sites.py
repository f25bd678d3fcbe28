"""Engines as users meet them, for the contract that all of them keep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.grids.news import Event, Reader
from tests.support.lab import PARAMS, SMALL, write_params
from tests.support.paths import PROJECT

PATIENCE = 240.0
"""Seconds within which a grid of a few tiny cells ends, on any engine and a busy machine."""


@dataclass
class Site:
    """A laboratory with an engine.

    Args:
        lab: its folder, LNL_ROOT.
        entry: of the engine in the `engines` block, under the name `site`.
        flags: that its program takes besides.
        environment: that its programs need.
    """

    lab: Path
    entry: dict[str, Any]
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def write_grid(self, *runs: dict[str, Any], **grid: Any) -> None:
        """Write params.yaml: these runs, which the engine of the site computes."""
        changed = {"runs": list(runs), "engine": "site", "name": "contract", **grid}
        engines = {"site": self.entry}
        write_params(
            self.lab,
            PARAMS
            | {"methods": {"robust_loss": SMALL | {"epochs": 1}}, "engines": engines}
            | {"grid": PARAMS["grid"] | changed},
        )

    def start(self, *flags: str) -> subprocess.Popen[str]:
        """Start the program that computes the grid and waits."""
        words = ("-m", "pipeline.stages.runs", "--no-tracking", *(flags or ("--wait", *self.flags)))
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=PROJECT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"LNL_ROOT": str(self.lab), "OMP_NUM_THREADS": "1"} | self.environment,
        )  # fmt: skip

    def ended(self, program: subprocess.Popen[str]) -> tuple[int, str]:
        """Exit code and output of a program, once it has ended."""
        try:
            output, _ = program.communicate(timeout=PATIENCE)
        finally:
            program.kill()
        return program.returncode, output

    def run(self, *flags: str) -> tuple[int, str]:
        """Compute the grid, or what else the flags say."""
        return self.ended(self.start(*flags))

    def events(self) -> Iterator[Event]:
        """What happened to cells, in all batches."""
        for folder in sorted((self.lab / "results" / "engine" / "contract").glob("*")):
            yield from (event for _, event in Reader(folder).new())

    def computed(self) -> Counter[str]:
        """How often each cell was computed to its end."""
        return Counter(event.key for event in self.events() if event.what == "done")

    def await_event(self, matches: Callable[[Event], bool]) -> Event:
        """The first event that matches, when it comes."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = next(filter(matches, self.events()), None)
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError("it never came: " + json.dumps(list(self.events())))


def kill(event: Event) -> None:
    """Kill the process that began a cell, as a machine short of memory does."""
    os.kill(event.process, signal.SIGKILL)
