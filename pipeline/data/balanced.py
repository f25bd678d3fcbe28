"""Equally many samples of every label: of the frequent ones fewer, or the rare ones again."""

import numpy as np

from pipeline.data.source import Labels


def balanced_epoch(y: Labels, per_class: int | None, seed: int) -> Labels:
    """Samples of one epoch, equally many of every label, in random order.

    A label that has just as many gives the same samples every epoch, in another order.

    Args:
        y: int64 [N], the given labels.
        per_class: at most so many samples per label that occurs; never more than the rarest one
            has, which is also what None stands for.
        seed: of the draw; another one gives another subset.

    Returns:
        int64 positions in [0, N), in the order of their use.
    """
    _, counts = np.unique(y, return_counts=True)
    rarest = int(counts.min())
    quota = rarest if per_class is None else min(per_class, rarest)
    draw = np.random.Generator(np.random.PCG64(seed))
    order = draw.permutation(len(y))
    by_label = order[np.argsort(y[order], kind="stable")]
    first_of_label = np.cumsum(counts) - counts
    kept = by_label[first_of_label[:, None] + np.arange(quota)]
    # Shuffled anew: in the order of the first shuffle the rarest label would fill the end.
    return draw.permutation(kept.ravel())


def repeated_to_balance(y: Labels, seed: int) -> Labels:
    """All samples, those of rarer labels again and again, so that every label is as frequent.

    Args:
        y: int64 [N], labels; those that no sample has are left out.
        seed: of the draw of those that come once more than others of their label.

    Returns:
        int64 positions in [0, N), label by label, as many of each as the most frequent one has.
    """
    if not len(y):
        return np.zeros(0, np.int64)
    labels, counts = np.unique(y, return_counts=True)
    draw = np.random.Generator(np.random.PCG64(seed))
    own = [draw.permutation(np.flatnonzero(y == label)) for label in labels]
    return np.concatenate([np.resize(positions, counts.max()) for positions in own])
