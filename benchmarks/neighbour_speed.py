"""Speed and memory of exact neighbours beside the conventional ways, measured in one run.

    uv run python benchmarks/neighbour_speed.py
    uv run python benchmarks/neighbour_speed.py --full

Two banks of features of unit length around class centres: one in memory (as SimCLR features of
CIFAR), one in a mapped float16 file (as CLIP features of a million web images). A block of queries
is timed, in turns with scikit-learn's brute force and with the whole row of torch.cdist, and
extrapolated to all rows, which it says; `--full` computes the whole first table as well.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import tyro

from pipeline.encoders.neighbours import nearest

_K = 10
_ROWS_AT_ONCE = 10_000


def make_features(path: Path, n: int, n_features: int, dtype: npt.DTypeLike) -> None:
    """Write features [n, D] of unit length around ten centres, never all in memory."""
    rng = np.random.Generator(np.random.PCG64(0))
    centres = rng.standard_normal((10, n_features), dtype=np.float32)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n, n_features))
    for start in range(0, n, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, n)
        rows = rng.standard_normal((stop - start, n_features), dtype=np.float32)
        rows += centres[rng.integers(0, 10, len(rows))]
        out[start:stop] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    out.flush()


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one run."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def peak_gib() -> float:
    """Most memory this process has had so far, parts of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def sklearn_brute(queries: npt.NDArray[np.float32], bank: npt.NDArray[np.float32]) -> object:
    """scikit-learn, all rows as float32 in memory."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=_K, algorithm="brute").fit(bank).kneighbors(queries)


def full_cdist(queries: npt.NDArray[np.float32], bank: npt.NDArray[np.float32]) -> object:
    """All distances of the queries at once, then the smallest."""
    distance = torch.cdist(torch.from_numpy(queries), torch.from_numpy(bank))
    return distance.topk(_K, largest=False)


def report(name: str, bank: npt.NDArray[np.float32], n_queries: int) -> float:
    """Time our search on a block of queries and print what the whole table would take."""
    nearest(bank[:8], bank[:64], _K)  # first allocations
    wall, processor = seconds(lambda: nearest(bank[:n_queries], bank, _K))
    share = n_queries / len(bank)
    print(
        f"{name}: {n_queries:,} queries {wall:.1f} s ({processor:.1f} s of processor), peak "
        f"{peak_gib():.2f} GiB; all {len(bank):,} rows extrapolated: {wall / share / 3600:.2f} h "
        f"({processor / share / 3600:.2f} h of processor); {wall / n_queries * 1e4:.0f} s per "
        "10,000 queries"
    )
    return processor


def beside(ours: float, bank: npt.NDArray[np.float32], n_queries: int) -> None:
    """Print how long the conventional ways take for the same queries, as ratios."""
    queries = np.array(bank[:n_queries], dtype=np.float32)
    for name, work in (("scikit-learn brute force", sklearn_brute), ("torch.cdist", full_cdist)):
        work(queries[:8], bank[:64])  # imports and first allocations
        _, processor = seconds(partial(work, queries, bank))
        print(f"  {name}: {processor:.1f} s of processor; ratio {processor / ours:.2f}")


def main(
    n_memory: int = 50_000,
    n_mapped: int = 1_000_000,
    n_queries: int = 2_048,
    threads: int = 2,
    full: bool = False,
) -> None:
    """Measure and print.

    Args:
        n_memory: rows of the bank in memory, 2,048 features each.
        n_mapped: rows of the mapped bank, 768 features each; 0 leaves it out.
        n_queries: queries that are timed.
        threads: of torch.
        full: also compute the whole table of the bank in memory.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        if n_mapped:
            path = Path(folder) / "mapped.npy"
            make_features(path, n_mapped, 768, np.float16)
            mapped = np.load(path, mmap_mode="r")
            report(f"mapped, {n_mapped:,} x 768 float16", mapped, n_queries)
            del mapped
            path.unlink()
        path = Path(folder) / "memory.npy"
        make_features(path, n_memory, 2048, np.float32)
        bank = np.load(path)
    ours = report(f"in memory, {n_memory:,} x 2,048 float32", bank, n_queries)
    if full:
        wall, processor = seconds(lambda: nearest(bank, bank, _K, exclude_self=True))
        print(
            f"  the whole table: {wall:.0f} s ({processor:.0f} s of processor), peak "
            f"{peak_gib():.2f} GiB"
        )
    beside(ours, bank, n_queries)


if __name__ == "__main__":
    tyro.cli(main)
