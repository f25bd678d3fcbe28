"""How busy an engine keeps its slots with tiny cells, while programs meet and workers are killed.

    uv run python benchmarks/engine_busy.py --cells 300                 # a try, minutes
    uv run python benchmarks/engine_busy.py                             # 10,000 cells
    uv run python benchmarks/engine_busy.py --engine slurm --entry '{"partition": "cpu", "gpus": 0}'

A grid of cells of a fraction of a second (an epoch of the handwritten digits) is computed by two
programs that start at once, with one slot each. At seeded moments a process that computes a cell is
killed, or asked to stop as at pre-emption, in turn. Printed are the share of the slots' time in
which runs were computed (sum of the runs' seconds / (slots x time from the first cell's beginning
to the last one's end)), cells without a row, and cells that were computed twice. Processes are
killed on this host only: with slurm and ray, a cluster of one node.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import tyro
import yaml

from pipeline.grids.news import Event, Reader
from pipeline.results.store import Store

GRID = "busy"
_SLOTS = 2


def main(
    cells: int = 10_000, engine: str = "local", kills: int = 20, seed: int = 0, entry: str = "{}"
) -> None:
    """Measure.

    Args:
        cells: of the grid.
        engine: local, slurm or ray.
        kills: processes that are killed or asked to stop.
        seed: of the moments and victims.
        entry: further settings of the engine, JSON.
    """
    settings = {"kind": engine} | ({} if engine == "local" else {"max_parallel": 1})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNL_ROOT"] = folder
        write_params(Path(folder), cells, settings | json.loads(entry))
        flags = ["--workers", "1"] if engine == "local" else []
        watch = Watch(Path(folder), random.Random(seed).sample(range(cells // 20, cells), kills))
        codes = run(2, flags, watch, random.Random(seed))
        report(cells, codes, watch)


def write_params(folder: Path, n: int, settings: dict[str, Any]) -> None:
    """Write the params.yaml of a grid of `n` tiny cells."""
    params = {
        "noise": {"symmetric-40": {"kind": "symmetric", "rate": 0.4}},
        "run": {"recipe": "pocket"},
        "methods": {"robust_loss": {"epochs": 2, "batch_size": 256, "backbone": "small-cnn"}},
        "engines": {"site": settings},
        "grid": {
            "name": GRID,
            "datasets": ["digits"],
            "noises": ["symmetric-40"],
            "seeds": list(range(n)),
            "engine": "site",
            "runs": [{"method": "robust_loss", "loss": "ce"}],
        },
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@dataclass
class Watch:
    """What is known of the cells from the news of all batches.

    Args:
        folder: LNL_ROOT.
        moments: numbers of ended cells at which a process is killed.
    """

    folder: Path
    moments: list[int]
    computed: Counter[str] = field(default_factory=Counter)
    running: dict[tuple[Path, int], Event] = field(default_factory=dict)
    first: float = 0.0
    last: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._readers: dict[Path, Reader] = {}
        self.moments.sort()

    def look(self) -> None:
        """Read what is new."""
        for batch in (self.folder / "results" / "engine" / GRID).glob("*"):
            reader = self._readers.setdefault(batch, Reader(batch))
            for bundle, event in reader.new():
                self.first = min(self.first or event.at, event.at)
                self.last = max(self.last, event.at)
                self.running.pop((batch, bundle), None)
                if event.what == "begun":
                    self.running[batch, bundle] = event
                self.computed[event.key] += event.what == "done"

    def strike(self, stream: random.Random) -> None:
        """Kill a process, if it is time."""
        alive = [event for event in self.running.values() if psutil.pid_exists(event.process)]
        if not self.moments or self.computed.total() < self.moments[0] or not alive:
            return
        self.moments.pop(0)
        number = (signal.SIGKILL, signal.SIGTERM)[self.killed.total() % 2]
        with suppress(ProcessLookupError):
            os.kill(stream.choice(alive).process, number)
            self.killed[number.name] += 1


def run(n: int, flags: Iterable[str], watch: Watch, stream: random.Random) -> list[int]:
    """Start programs at once, and watch them to their end; returns their exit codes."""
    command = [sys.executable, "-m", "pipeline.stages.runs", "--no-tracking", "--wait", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (watch.folder / "output").open("w") as output:
        programs = [
            subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
            for _ in range(n)
        ]
        while any(program.poll() is None for program in programs):
            time.sleep(0.5)
            watch.look()
            watch.strike(stream)
    watch.look()
    return [program.returncode for program in programs]


def report(n: int, codes: list[int], watch: Watch) -> None:
    """Print the figures."""
    rows = Store().runs().select("status", "seconds").collect()
    statuses = Counter(rows["status"])
    wall = watch.last - watch.first
    seconds = float(rows["seconds"].sum())
    twice = sum(times > 1 for times in watch.computed.values())
    print(f"exit codes {codes}; {dict(watch.killed)} sent to workers")
    print(
        f"cells: {n}; rows: {dict(statuses)}; lost: {n - statuses['done']}; computed twice: {twice}"
    )
    print(f"run: {seconds / n:.3f} s in the mean; {wall:.0f} s from first to last cell")
    print(f"busy: {seconds / (_SLOTS * wall):.1%} of {_SLOTS} slots")
    if any(codes):
        print(*(watch.folder / "output").read_text().splitlines()[-5:], sep="\n")


if __name__ == "__main__":
    tyro.cli(main)
