"""Speed of label noise beside the per-sample loops in common use, measured in one run.

    uv run python benchmarks/noise_speed.py

Two ratios: class-conditional labels (a million of them, 100 classes) beside one multinomial draw
per sample, and instance-dependent labels of 50,000 CIFAR-sized images beside one matrix product and
one weighted draw per sample (Xia et al. 2020). Pixels are random: their values do not matter.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro

from pipeline.noise.arrays import Floats, Labels, Pixels
from pipeline.noise.models import instance, transitions

_N_CLASSES = 10
_REPEATS = 5


def best_seconds(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Shortest of several runs, in seconds: the one that other programs disturbed least."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def multinomial_loop(labels: Labels, matrix: Floats) -> Labels:
    """The usual way: one multinomial draw per sample."""
    source = np.random.RandomState(0)
    noisy = labels.copy()
    for i, label in enumerate(labels):
        flipped = source.multinomial(1, matrix[label, :], 1)[0]
        noisy[i] = np.where(flipped == 1)[0][0]
    return noisy


def instance_loop(images: Pixels, labels: Labels, rate: float) -> Labels:
    """The usual way: a matrix product, a softmax and a weighted draw per sample, with torch."""
    # Imported late, so that the memory reported for our own work does not include torch.
    import torch
    from scipy.stats import truncnorm

    # One thread is faster here: the products are too small to share.
    torch.set_num_threads(1)
    low, high = -rate / instance.SPREAD, (1 - rate) / instance.SPREAD
    rates = truncnorm(low, high, loc=rate, scale=instance.SPREAD).rvs(len(labels), random_state=0)
    q = torch.from_numpy(rates).float()
    source = np.random.RandomState(0)
    size = int(np.prod(images.shape[1:]))
    weights = torch.from_numpy(source.randn(_N_CLASSES, size, _N_CLASSES)).float()
    flat = torch.from_numpy(np.array(images).reshape(len(images), -1)).float()
    rows = []
    for i, label in enumerate(labels):
        score = flat[i].view(1, -1).mm(weights[label]).squeeze(0)
        score[label] = -float("inf")
        row = q[i] * torch.softmax(score, dim=0)
        row[label] += 1 - q[i]
        rows.append(row)
    shares = torch.stack(rows).double().numpy()
    classes = list(range(_N_CLASSES))
    return np.array([source.choice(classes, p=row / row.sum()) for row in shares])


def main(n_images: int = 50_000, n_labels: int = 1_000_000, rate: float = 0.4) -> None:
    """Measure and print both ratios.

    Args:
        n_images: images of the instance-dependent part.
        n_labels: labels of the class-conditional part.
        rate: nominal rate of both.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    labels = rng.integers(0, 100, n_labels)
    matrix = transitions.symmetric(rate, 100)
    ours = best_seconds(lambda: transitions.draw(labels, matrix, seed=0))
    part = labels[: n_labels // 20]
    loop = best_seconds(lambda: multinomial_loop(part, matrix), 1) * len(labels) / len(part)
    print(
        f"class-conditional, {n_labels:,} labels, 100 classes: {ours:.3f} s; "
        f"loop {loop:.1f} s; ratio {loop / ours:.0f}"
    )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, rng.integers(0, 256, (n_images, 32, 32, 3), dtype=np.uint8))
        images: Pixels = np.load(path, mmap_mode="r")
        clean = rng.integers(0, _N_CLASSES, n_images)
        projector = instance.Projector(images, instance.VARIANTS["xia2020"])
        ours = best_seconds(lambda: instance.generate(clean, projector, _N_CLASSES, rate, seed=0))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        loop = best_seconds(lambda: instance_loop(images, clean, rate), 1)
    print(
        f"instance-dependent, {n_images:,} images: {ours:.3f} s, peak of the process {peak:.2f} "
        f"GiB; loop {loop:.1f} s; ratio {loop / ours:.0f}"
    )


if __name__ == "__main__":
    tyro.cli(main)
