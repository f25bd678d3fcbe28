"""Open-set noise: images of another data set under unchanged labels (SLN)."""

from dataclasses import dataclass

import numpy as np

from pipeline.noise.arrays import Labels


@dataclass(frozen=True, eq=False)
class Replacement:
    """Which training images are replaced by which training images of another data set.

    Args:
        source: name of the other data set.
        source_digest: digest of the other data set.
        index: int64 [M], ascending positions that are replaced.
        source_index: int64 [M], positions in the other data set's training images.
    """

    source: str
    source_digest: str
    index: Labels
    source_index: Labels


def replace(n: int, n_source: int, rate: float, seed: int, legacy: bool) -> tuple[Labels, Labels]:
    """Draw floor(rate n) positions and as many of the source, each without replacement.

    Args:
        n: number of training images.
        n_source: number of training images of the source.
        rate: exact share of replaced images.
        seed: of the table.
        legacy: draw with RandomState, in the order of SLN's code (which sets no seed itself).

    Returns:
        The positions int64 [M], ascending, and the source's positions int64 [M].
    """
    count = int(rate * n)
    source = np.random.RandomState(seed) if legacy else np.random.Generator(np.random.PCG64(seed))
    index = source.choice(n, count, replace=False)
    source_index = source.choice(n_source, count, replace=False)
    order = np.argsort(index)
    return index[order].astype(np.int64), source_index[order].astype(np.int64)
