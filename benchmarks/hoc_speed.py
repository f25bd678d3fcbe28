"""Speed of estimating T by consensus of neighbours beside the full distance matrix in common use.

    uv run python benchmarks/hoc_speed.py

One ratio: label frequencies over all rounds, beside one round of a full cosine distance matrix with
counting sample by sample, times the number of rounds. The fit that follows is timed by itself.
Features are random around class centres: only their number and length matter.
"""

import resource
import time

import numpy as np
import torch
import tyro

from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.estimation.consensus import Moments, consensus
from pipeline.noise.estimation.hoc import solve
from pipeline.noise.models import transitions


def full_matrix_round(features: Floats, y: Labels, n_classes: int) -> Moments:
    """The usual way: all distances at once, minima one after another, a loop over samples."""
    rows = torch.from_numpy(features)
    rows = rows / rows.norm(dim=1, keepdim=True)
    distances = 1 - rows @ rows.T
    each, found = torch.arange(len(rows)), []
    for _ in range(3):
        nearest = distances.min(dim=1).indices
        distances[each, nearest] = 10.0
        found.append(nearest)
    _, first, second = found
    one, two, three = (np.zeros((n_classes,) * order) for order in (1, 2, 3))
    for i in range(len(rows)):
        a, b, c = y[i], y[first[i]], y[second[i]]
        one[a] += 1
        two[a, b] += 1
        three[a, b, c] += 1
    return Moments(one / len(rows), two / len(rows), three / len(rows))


def main(
    n: int = 50_000,
    n_features: int = 512,
    n_classes: int = 10,
    rounds: int = 50,
    sample: int = 15_000,
) -> None:
    """Measure and print the ratio.

    Args:
        n: samples.
        n_features: length of their features.
        n_classes: classes.
        rounds: parts of the samples.
        sample: samples per part.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    clean = rng.integers(0, n_classes, n)
    centres = rng.normal(size=(n_classes, n_features)).astype(np.float32)
    features = centres[clean] + 2 * rng.standard_normal((n, n_features), np.float32)
    y = transitions.draw(clean, transitions.symmetric(0.4, n_classes), seed=0)
    parts = [np.sort(rng.choice(n, sample, replace=False)) for _ in range(rounds)]

    start = time.perf_counter()
    ours = consensus(features, y, n_classes, parts, progress=True)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    solve(ours, 1 / n_classes + 0.1 * rng.random(n_classes), progress=True)
    fit = time.perf_counter() - start
    start = time.perf_counter()
    theirs = full_matrix_round(features[parts[0]], y[parts[0]], n_classes)
    conventional = (time.perf_counter() - start) * rounds
    difference = np.abs(theirs.three - consensus(features, y, n_classes, parts[:1]).three).max()
    print(
        f"{n:,} x {n_features}, {rounds} rounds of {sample:,}: {seconds:.1f} s, peak of process "
        f"{peak:.2f} GiB; full matrix {conventional:.0f} s (one round x {rounds}); ratio "
        f"{conventional / seconds:.1f}; largest difference of a frequency {difference:.1e}; "
        f"fit {fit:.1f} s"
    )


if __name__ == "__main__":
    tyro.cli(main)
