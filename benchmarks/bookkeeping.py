"""What storing and tracking cost, and how long it takes to skip a finished grid.

    uv run python benchmarks/bookkeeping.py share            # of the runs in the project's store
    uv run python benchmarks/bookkeeping.py skip --cells 1000

`share` divides the time that runs spent in store and tracker by their wall time, per data set.
`skip` makes a grid of finished runs in a temporary folder and times the whole stage `runs` on it,
from the start of Python to the written view; the first call writes the view, the second one is
reported.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import tyro
import yaml

from pipeline.config import read_params
from pipeline.grids.cells import cells
from pipeline.results.schema import SAMPLES
from pipeline.results.store import Store


def share() -> None:
    """Share of wall time spent in store and tracker, per data set."""
    table = (
        Store()
        .runs()
        .filter(pl.col("status") == "done")
        .group_by("dataset")
        .agg(
            runs=pl.len(),
            wall_seconds=pl.col("seconds").sum(),
            bookkeeping_seconds=pl.col("seconds_tracking").sum(),
        )
        .with_columns(share=pl.col("bookkeeping_seconds") / pl.col("wall_seconds"))
        .collect()
    )
    print(table)


def skip(cells: int = 1000) -> None:
    """Time to find that a grid is finished.

    Args:
        cells: size of the grid.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNL_ROOT"] = folder
        write_finished_grid(Path(folder), cells)
        command = [sys.executable, "-m", "pipeline.stages.runs", "--no-tracking"]
        for _ in range(2):
            began = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - began
        print(f"{done.stdout.strip().splitlines()[-1]}\nskipped in {seconds:.2f} s")


def write_finished_grid(folder: Path, n: int) -> None:
    """Write a grid of `n` cells with a finished run for each, in a folder that LNL_ROOT names."""
    write_grid(folder, n)
    store = Store()
    for cell in cells(read_params()):
        ending = {"status": "done", "n_train": 1, "n_val": 0, "n_test": 1,
                  "finished_at": datetime.now(UTC)}  # fmt: skip
        epochs = [{"key": cell.key, "epoch": e, "test_accuracy": 0.5} for e in range(20)]
        store.write_finished(cell.row | ending, pl.DataFrame(epochs), pl.DataFrame(schema=SAMPLES))


def write_grid(folder: Path, n: int) -> None:
    """Write the params of a grid of `n` cells."""
    grid = {
        "name": "finished",
        "datasets": ["digits"],
        "noises": ["symmetric-40"],
        "seeds": list(range(n)),
        "runs": [{"method": "robust_loss", "loss": "ce"}],
    }
    noise = {"symmetric-40": {"kind": "symmetric", "rate": 0.4}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"noise": noise, "grid": grid}))


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"share": share, "skip": skip}, description=__doc__)
