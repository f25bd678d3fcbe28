"""Class-balanced epochs: equally many samples of every given label."""

import numpy as np

from pipeline.data.source import Labels


def balanced_epoch(y: Labels, per_class: int | None, seed: int) -> Labels:
    """Samples of one epoch, equally many of every label, in random order.

    All samples are shuffled, and of each label the first ones are taken. A label that has just as
    many gives the same samples every epoch, in another order.

    Args:
        y: int64 [N], the given labels.
        per_class: samples per label that occurs, at most as many as the rarest label has; None for
            just as many as that.
        seed: of the draw; another one gives another subset.

    Returns:
        int64 positions in [0, N), in the order of their use.
    """
    _, counts = np.unique(y, return_counts=True)
    quota = min(counts) if per_class is None else min(per_class, *counts)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))
    by_label = order[np.argsort(y[order], kind="stable")]
    first_of_label = np.cumsum(counts) - counts
    kept = np.zeros(len(y), dtype=bool)
    kept[by_label[first_of_label[:, None] + np.arange(quota)]] = True
    return order[kept[order]]
