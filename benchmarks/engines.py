"""How busy engines keep their slots with tiny cells, and whether they store the same bytes.

    uv run python benchmarks/engines.py busy --cells 300            # a try, minutes
    uv run python benchmarks/engines.py busy                        # 10,000 cells
    uv run python benchmarks/engines.py bytes --cells 20            # a try
    uv run python benchmarks/engines.py bytes                       # 200 cells

tests/support/slurm.py starts a Slurm of one node for a command, such as `busy` with the engine
slurm, or `bytes`; the third engine of `bytes` is the extra `ray`.

`busy`: two programs start at once on a grid of cells of a fraction of a second (six epochs of the
handwritten digits), with one slot each. At seeded moments a process that computes a cell is killed
or asked to stop, in turn. Printed are the share of the slots' time in which runs were computed (sum
of the runs' seconds / (slots x time from the first cell's beginning to the last one's end)), cells
without a row, and cells that were computed twice. Processes are killed on this host only: with
`--engine slurm` or `--engine ray`, a cluster of one node.

`bytes`: each engine that is there computes one grid into a store of its own. Compared are the view
of the grid, whose bytes hold all numbers of runs and epochs and no clock or host, and the samples.
"""

from __future__ import annotations

import hashlib
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
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
import tyro
import yaml

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.grids.engines.choice import choose_engine
from pipeline.grids.news import Event, Reader
from pipeline.results.store import Store

GRID = "busy"
_SLOTS = 2
_ENGINES: dict[str, dict[str, Any]] = {
    "local": {},
    "slurm": {"gpus": 0, "cpus": 1, "memory": "500M", "poll_seconds": 2},
    "ray": {"gpus": 0},
}
"""Settings of each engine on a node of two cores."""


def busy(
    cells: int = 10_000, engine: str = "local", kills: int = 20, seed: int = 0, entry: str = "{}"
) -> None:
    """Share of time in which slots are busy.

    Args:
        cells: of the grid.
        engine: local, slurm or ray.
        kills: processes that are killed or asked to stop.
        seed: of the moments and victims.
        entry: further settings of the engine, JSON.
    """
    settings = {"kind": engine, **_ENGINES[engine]}
    settings |= {} if engine == "local" else {"max_parallel": 1}
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
        "methods": {"robust_loss": {"epochs": 6, "batch_size": 256, "backbone": "small-cnn"}},
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
    if any(codes):
        print(*(watch.folder / "output").read_text().splitlines()[-5:], sep="\n")
    if not rows.height:
        sys.exit(1)
    print(
        f"cells: {n}; rows: {dict(statuses)}; lost: {n - statuses['done']}; computed twice: {twice}"
    )
    print(f"run: {seconds / n:.3f} s in the mean; {wall:.0f} s from first to last cell")
    print(f"busy: {seconds / (_SLOTS * wall):.1%} of {_SLOTS} slots")


def bytes_(cells: int = 200, entries: str = "{}") -> None:
    """Compare what the engines store.

    Args:
        cells: of the grid.
        entries: further settings by engine, JSON.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # sums of several threads round otherwise
    found: dict[str, str] = {}
    for engine, usual in _ENGINES.items():
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LNL_ROOT"] = folder
            settings = {"kind": engine} | usual | json.loads(entries).get(engine, {})
            if engine != "local":
                settings.setdefault("max_parallel", _SLOTS)
            write_params(Path(folder), cells, settings)
            try:
                choose_engine("site", read_params()).check()
            except LabError as failure:
                print(f"{engine:6} is not here: {failure.given}")
                continue
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "pipeline.stages.runs", "--no-tracking", "--wait"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            found[engine] = _digest(Path(folder) / "results" / "views" / f"{GRID}.parquet")
            print(f"{engine:6} {found[engine]} {time.perf_counter() - began:.0f} s")
    print("the same bytes" if len(set(found.values())) == 1 else "different bytes")
    sys.exit(len(set(found.values())) != 1)


def _digest(view: Path) -> str:
    samples = BytesIO()
    # In one piece: where polars cuts a frame depends on how fast its files were read.
    Store().samples().sort("key", "index").collect().rechunk().write_ipc(samples)
    return hashlib.sha256(view.read_bytes() + samples.getvalue()).hexdigest()[:16]


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"busy": busy, "bytes": bytes_}, description=__doc__)
