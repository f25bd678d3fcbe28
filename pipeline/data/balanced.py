"""Class-balanced epochs: equally many samples of every given label."""

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
