"""Instance-dependent noise by random projection (Xia et al. 2020), in its published variants.

Every sample n has a flip rate of its own, q_n ~ Normal(rate, 0.1^2) truncated to [0, 1]. Given a
flip, its target is drawn from the softmax of x_n W with the own class left out, where W is standard
normal: one projection per true class (`xia2020`, `dal`) or one for all (`rrr`, `cifarn`). The
softmax is almost one-hot, so that the target is nearly a function of pixels and class. The shared
projection sends most flips to one class.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, softmax
from threadpoolctl import threadpool_limits

from pipeline.noise.arrays import Floats, Labels, Source
from pipeline.noise.models.transitions import inverse_cdf

SPREAD = 0.1
"""Standard deviation of the flip rates before truncation."""
_ROWS_AT_ONCE = 128
_STEPS = 128.0


@dataclass(frozen=True)
class Variant:
    """What distinguishes one published code from another.

    Args:
        shared: one projection for all classes instead of one per true class.
        channels_first: pixels are flattened channel by channel.
        scale: what the pixels are divided by.
    """

    shared: bool
    channels_first: bool
    scale: float


VARIANTS = {
    "xia2020": Variant(shared=False, channels_first=True, scale=1.0),
    "dal": Variant(shared=False, channels_first=False, scale=255.0),
    "rrr": Variant(shared=True, channels_first=True, scale=255.0),
    "cifarn": Variant(shared=True, channels_first=False, scale=1.0),
}


@dataclass(frozen=True)
class Projector:
    """Scores x W of images or feature rows under one variant.

    Args:
        x: uint8 [N, H, W, C] pixels or float [N, D] features.
        variant: layout and scale of the pixels; features are taken as they are.
    """

    x: npt.NDArray[np.uint8] | Floats
    variant: Variant

    @property
    def n_features(self) -> int:
        """D, the length of a flattened row."""
        return int(np.prod(self.x.shape[1:]))

    def scores(self, rows: Labels, weights: Floats, workers: Executor) -> Floats:
        """Project the given rows.

        Args:
            rows: int64 [n], positions in x.
            weights: float [D, K], in the order of the variant's flattened rows.
            workers: threads that share the work.

        Returns:
            float64 [n, K], summed in float32.
        """
        plain = self._in_storage_order(weights).astype(np.float32)
        out = np.empty((len(rows), plain.shape[1]), np.float32)

        def project(start: int) -> None:
            part = self.x[rows[start : start + _ROWS_AT_ONCE]]
            flat = part.reshape(len(part), -1).astype(np.float32, copy=False)
            np.matmul(flat, plain, out=out[start : start + len(part)])

        list(workers.map(project, range(0, len(rows), _ROWS_AT_ONCE)))
        return out.astype(np.float64) / (self.variant.scale if self.x.ndim == 4 else 1.0)

    def _in_storage_order(self, weights: Floats) -> Floats:
        """Move the weights instead of the pixels: W is small, x is not."""
        if self.x.ndim != 4 or not self.variant.channels_first:
            return weights
        height, width, channels = self.x.shape[1:]
        by_channel = weights.reshape(channels, height, width, -1)
        return by_channel.transpose(1, 2, 0, 3).reshape(self.n_features, -1)


@contextmanager
def _workers() -> Iterator[Executor]:
    """One thread per core and none inside BLAS: two levels of threads wait for each other."""
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def flip_rates(rate: float, uniforms: Floats) -> Floats:
    """Flip rates by inverse CDF of Normal(rate, 0.1^2) truncated to [0, 1].

    Args:
        rate: mean before truncation.
        uniforms: float64 [N] in [0, 1).

    Returns:
        float64 [N]; their mean differs from `rate` near 0 and 1 (0.1288 at 0.1, 0.2055 at 0.2).
    """
    low, high = ndtr((0.0 - rate) / SPREAD), ndtr((1.0 - rate) / SPREAD)
    return np.asarray(np.clip(rate + SPREAD * ndtri(low + uniforms * (high - low)), 0.0, 1.0))


def generate(clean: Labels, projector: Projector, n_classes: int, rate: float, seed: int) -> Labels:
    """Instance-dependent labels from NumPy's PCG64, the same in distribution as the published.

    Flips and targets come from streams of their own. So only flipped samples are projected, and the
    flips at a lower rate are nearly all among those at a higher one, with the same targets. The
    projection is rounded to multiples of 1/128: its float32 sums over whole pixels are then exact,
    and the labels the same on every machine.

    Args:
        clean: int64 [N].
        projector: the images or features, N rows.
        n_classes: K.
        rate: nominal rate; 0 flips nothing.
        seed: of the table.

    Returns:
        int64 [N].
    """
    if rate == 0:
        return clean.copy()
    rates, flips, projection, targets = (
        np.random.Generator(np.random.PCG64(child))
        for child in np.random.SeedSequence(seed).spawn(4)
    )
    q = flip_rates(rate, rates.random(len(clean)))
    flipped = np.flatnonzero(flips.random(len(clean)) < q)
    uniforms = targets.random(len(clean))[flipped]
    noisy = clean.copy()
    with _workers() as workers:
        for chosen, weights in _projections(clean[flipped], projector, n_classes, projection):
            rows = flipped[chosen]
            exact = np.round(weights * _STEPS) / _STEPS
            wrong = _wrong_class_shares(projector.scores(rows, exact, workers), clean[rows])
            noisy[rows] = inverse_cdf(wrong, uniforms[chosen])
    return noisy


def draw_legacy(
    clean: Labels, projector: Projector, n_classes: int, q: Floats, source: np.random.RandomState
) -> Labels:
    """The published order of draws from a RandomState: projections, then one uniform per sample.

    Args:
        clean: int64 [N].
        projector: the images or features, N rows.
        n_classes: K.
        q: float64 [N], flip rates.
        source: as the publishers had it when they drew the projections.

    Returns:
        int64 [N].
    """
    probabilities = np.zeros((len(clean), n_classes))
    with _workers() as workers:
        for rows, weights in _projections(clean, projector, n_classes, source):
            scores = projector.scores(rows, weights, workers)
            probabilities[rows] = q[rows, None] * _wrong_class_shares(scores, clean[rows])
    probabilities[np.arange(len(clean)), clean] = 1.0 - q
    return inverse_cdf(probabilities, source.random_sample(len(clean)))


def _wrong_class_shares(scores: Floats, own: Labels) -> Floats:
    """Softmax over the classes other than the own one: float64 [n, K]."""
    scores[np.arange(len(own)), own] = -np.inf
    return np.asarray(softmax(scores, axis=1))


def _projections(
    labels: Labels, projector: Projector, n_classes: int, source: Source
) -> Iterator[tuple[Labels, Floats]]:
    """Positions in `labels` and the [D, K] projection that belongs to them.

    A per-class projection is drawn class by class: the same numbers as one [K, D, K] draw, in a
    K-th of the memory.
    """
    shape = (projector.n_features, n_classes)
    if projector.variant.shared:
        yield np.arange(len(labels)), source.standard_normal(shape)
        return
    for c in range(n_classes):
        yield np.flatnonzero(labels == c), source.standard_normal(shape)
