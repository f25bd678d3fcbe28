"""Class-balanced epochs: equally many samples of every given label."""

import numpy as np

from pipeline.data.source import Labels
from pipeline.errors import LabError


def balanced_epoch(y: Labels, per_class: int | None, seed: int) -> Labels:
    """Samples of one epoch, equally many of every label, in random order.

    A label that has just as many gives the same samples every epoch, in another order.

    Args:
        y: int64 [N], the given labels.
        per_class: samples per label that occurs; None for as many as the rarest one has.
        seed: of the draw; another one gives another subset.

    Returns:
        int64 positions in [0, N), in the order of their use.

    Raises:
        LabError: if a label has fewer than `per_class` samples.
    """
    classes, counts = np.unique(y, return_counts=True)
    quota = int(counts.min()) if per_class is None else per_class
    if quota > counts.min():
        rarest = int(classes[counts.argmin()])
        raise LabError(
            f"{quota} samples per class of label {rarest}, which has {counts.min()}",
            f"at most {counts.min()}",
            f"--per-class {counts.min()}, or none for the size of the rarest label",
        )
    draw = np.random.Generator(np.random.PCG64(seed))
    order = draw.permutation(len(y))
    by_label = order[np.argsort(y[order], kind="stable")]
    first_of_label = np.cumsum(counts) - counts
    kept = by_label[first_of_label[:, None] + np.arange(quota)]
    # Shuffled anew: in the order of the first shuffle the rarest label would fill the end.
    return draw.permutation(kept.ravel())
