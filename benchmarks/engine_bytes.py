"""Whether engines store the same bytes: one grid of tiny cells, computed by each that is there.

    uv run python benchmarks/engine_bytes.py --cells 20      # a try
    uv run python benchmarks/engine_bytes.py                 # 200 cells
    uv run python benchmarks/engine_bytes.py --entries '{"slurm": {"partition": "cpu", "gpus": 0}}'

Each engine computes into a store of its own. Compared are the view of the grid, whose bytes hold
all numbers of runs and epochs and no clock or host, and the samples table.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import tyro
from engine_busy import GRID, write_params

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.grids.engines.choice import choose_engine
from pipeline.results.store import Store

_ENGINES = ("local", "slurm", "ray")


def main(cells: int = 200, entries: str = "{}") -> None:
    """Compare.

    Args:
        cells: of the grid.
        entries: further settings by engine, JSON.
    """
    found: dict[str, str] = {}
    for engine in _ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LNL_ROOT"] = folder
            settings = {"kind": engine} | json.loads(entries).get(engine, {})
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
    Store().samples().sort("key", "index").collect().write_ipc(samples)
    return hashlib.sha256(view.read_bytes() + samples.getvalue()).hexdigest()[:16]


if __name__ == "__main__":
    tyro.cli(main)
