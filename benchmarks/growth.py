"""How costs grow with the work: each of them at three sizes, with the exponent of its growth.

    uv run python benchmarks/growth.py
    uv run python benchmarks/growth.py --only report rebuild
    uv run python benchmarks/growth.py --scale 0.1

All is made up, in temporary folders. Figures are CPU seconds of this process, the smaller of two
readings, which other programs on the machine disturb least. The exponent is the slope of a line
through log size and log seconds: 1 is linear, 2 quadratic; a fixed cost makes it smaller.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from analysis.report import write_report
from benchmarks.bookkeeping import write_finished_grid, write_grid
from benchmarks.store_scale import rows_inside, rows_of_runs
from pipeline.backbones import make_backbone
from pipeline.config import read_params
from pipeline.data.views import DeviceImages
from pipeline.encoders.embeddings import fill
from pipeline.encoders.encoder import Encoder, EncoderCard
from pipeline.encoders.neighbours import nearest
from pipeline.encoders.start import network_state
from pipeline.grids.cells import cells
from pipeline.grids.run import missing_cells
from pipeline.noise.estimation.consensus import consensus
from pipeline.noise.models import transitions
from pipeline.results.schema import EPOCHS, SAMPLES
from pipeline.results.store import Store
from pipeline.results.tracker import rebuild
from pipeline.results.upkeep.compaction import compact
from pipeline.results.view import stored

N_CLASSES, N_FEATURES, N_EPOCHS, N_SEEDS = 10, 128, 20, 5

Work = Callable[[], object]


@dataclass(frozen=True)
class Flags:
    """Measure how costs grow."""

    only: tuple[str, ...] = ()
    """Names of what is measured; all unless given."""
    scale: float = 1.0
    """Factor of all sizes."""


@dataclass(frozen=True)
class Cost:
    """Something whose cost grows.

    Args:
        what: is counted.
        sizes: three, ascending.
        prepared: makes work of a size ready, in the folder that LNL_ROOT names.
        once: whether the work can be done only once.
    """

    what: str
    sizes: tuple[int, int, int]
    prepared: Callable[[int], Work]
    once: bool = False


def planning(n: int) -> Work:
    """Cells of a grid with their keys; data and labels are there."""
    write_grid(_root(), 1)
    cells(read_params())
    write_grid(_root(), n)
    return lambda: cells(read_params())


def skipping(n: int) -> Work:
    """Which cells of a finished grid are missing."""
    write_finished_grid(_root(), n)
    planned = cells(read_params())
    return lambda: missing_cells(planned)


def labels(n: int) -> Work:
    """Class-conditional labels."""
    clean = np.random.default_rng(0).integers(0, N_CLASSES, n)
    matrix = transitions.symmetric(0.4, N_CLASSES)
    return lambda: transitions.draw(clean, matrix, seed=0)


def neighbours(n: int) -> Work:
    """The exact neighbours of all rows among themselves."""
    bank = _features(n)
    return lambda: nearest(bank, bank, 10, exclude_self=True)


def hoc(n: int) -> Work:
    """Frequencies of labels among neighbours, over five parts of 30 % of the samples."""
    random, features = np.random.default_rng(0), _features(n)
    y = random.integers(0, N_CLASSES, n)
    parts = [np.sort(random.choice(n, 3 * n // 10, replace=False)) for _ in range(5)]
    return lambda: consensus(features, y, N_CLASSES, parts)


def embeddings(n: int) -> Work:
    """Features of images of 32 x 32 by a small network."""
    state = network_state(make_backbone("small-cnn", 1, 3))
    card = EncoderCard(
        name="small", kind="run", network="small-cnn", n_features=64, mean=(0.5,) * 3,
        std=(0.25,) * 3, image_size=None, unit_length=True, external=False, weights_digest="0",
    )  # fmt: skip
    pixels, device = np.zeros((n, 32, 32, 3), np.uint8), torch.device("cpu")
    images = DeviceImages(pixels, (0.0,) * 3, (1.0,) * 3, device)
    rows = np.zeros((n, 64), np.float32)
    return lambda: fill(rows, Encoder(card, state), images, "float32", device)


def compaction(n: int) -> Work:
    """Runs that each wrote its own files become segments."""
    store = _filled(n)
    return lambda: compact(store)


def report(n: int) -> Work:
    """The report of all runs of a store."""
    _filled(n)
    compact(Store())
    return lambda: write_report(stored(), _root() / "report")


def mlflow(n: int) -> Work:
    """MLflow's view made anew from the store, its database there."""
    _filled(1)
    rebuild()
    _filled(n)
    return rebuild


COSTS = {
    "planning": Cost("cells", (250, 500, 1000), planning),
    "skipping": Cost("cells", (250, 500, 1000), skipping),
    "labels": Cost("labels", (250_000, 500_000, 1_000_000), labels),
    "neighbours": Cost("rows", (4_000, 8_000, 16_000), neighbours),
    "embeddings": Cost("images", (1_000, 2_000, 4_000), embeddings),
    "hoc": Cost("samples", (5_000, 10_000, 20_000), hoc),
    "compaction": Cost("runs", (250, 500, 1000), compaction, once=True),
    "report": Cost("runs", (250, 500, 1000), report),
    "mlflow": Cost("runs", (25, 50, 100), mlflow, once=True),
}


def _root() -> Path:
    return Path(os.environ["LNL_ROOT"])


def _features(n: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, N_FEATURES), np.float32)


def _filled(n: int) -> Store:
    """The project's store with `n` runs: groups of five seeds, 20 variants under four noises."""
    store, number = Store(), pl.int_range(n)
    group = number // N_SEEDS
    runs = rows_of_runs(0, n).with_columns(
        group=pl.format("group-{}", group),
        seed=number % N_SEEDS,
        dataset=pl.lit("digits"),
        method=pl.lit("robust_loss"),
        variant=pl.format("variant-{}", group % 20),
        noise=pl.format("noise-{}", group // 20 % 4),
        settings=pl.format('{{"loss": "ce", "lr": 0.{}}}', group % 20),
        noise_card=pl.lit("{}"),
    )
    for row in runs.iter_rows(named=True):
        keys = pl.Series("key", [row["key"]])
        epochs = rows_inside(keys, N_EPOCHS, EPOCHS, "epoch")
        store.write_finished(row, epochs, rows_inside(keys, 100, SAMPLES, "index"))
    return store


def seconds_of(cost: Cost, n: int) -> float:
    """CPU seconds of the work of a size, in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LNL_ROOT"] = folder
        with contextlib.redirect_stdout(io.StringIO()):
            work = cost.prepared(n)
            readings = []
            for _ in range(1 if cost.once else 2):
                began = time.process_time()
                work()
                readings.append(time.process_time() - began)
    return min(readings)


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the line through log size and log seconds."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def main() -> None:
    """Print a row for each cost."""
    flags = tyro.cli(Flags, description=__doc__)
    print("| cost | sizes | CPU seconds | exponent |\n|---|---|---|---|")
    for name in flags.only or COSTS:
        cost = COSTS[name]
        sizes = [max(1, round(flags.scale * n)) for n in cost.sizes]
        seconds = [seconds_of(cost, n) for n in sizes]
        counted = ", ".join(f"{n:,}" for n in sizes)
        taken = ", ".join(f"{one:.3g}" for one in seconds)
        print(
            f"| {name} | {counted} {cost.what} | {taken} | {exponent(sizes, seconds):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
