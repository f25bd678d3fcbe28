"""Which class turns into which: the named maps of asymmetric noise.

Three different maps are in use for CIFAR-100 under one name; results on them cannot be compared.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.errors import LabError, quoted, suggest
from pipeline.noise.arrays import Labels

CIFAR10 = {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}
"""truck -> automobile, bird -> airplane, cat <-> dog, deer -> horse (DAL, SLN, PLC)."""

CIFAR100_COARSE = np.array([
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
    6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
    10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
    16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
])  # fmt: skip
"""Superclass of each CIFAR-100 class (Krizhevsky 2009), by class id."""


def named_map(name: str, n_classes: int) -> Labels:
    """The target of every class under a named map.

    Args:
        name: cifar10; superclass_next (next class of the same CIFAR-100 superclass, circular, by
            ascending id: DAL); next_class (i + 1 mod K: SLN); block5 (next within blocks of five
            consecutive ids, circular: PLC and LRA-Diffusion).
        n_classes: K.

    Returns:
        int64 [K]; a class that the map leaves alone is its own target.

    Raises:
        LabError: for an unknown map or one that is not defined for K classes.
    """
    own = np.arange(n_classes)
    if name == "next_class":
        return (own + 1) % n_classes
    if name == "block5" and n_classes % 5 == 0:
        return own - own % 5 + (own + 1) % 5
    if name == "superclass_next" and n_classes == len(CIFAR100_COARSE):
        target = own.copy()
        for superclass in range(20):
            members = np.flatnonzero(superclass == CIFAR100_COARSE)
            target[members] = np.roll(members, -1)
        return target
    if name == "cifar10" and n_classes == 10:
        return custom_map(CIFAR10, n_classes)
    known = ("cifar10", "superclass_next", "next_class", "block5")
    if name not in known:
        raise LabError(
            f"unknown map {quoted(name)}",
            *suggest(name, known, "a map of your own, {clean: noisy}"),
        )
    raise LabError(
        f"map {name} on {n_classes} classes",
        "cifar10: 10 classes, superclass_next: 100, block5: a multiple of 5",
        "use next_class or your own map {clean: noisy}",
    )


def custom_map(targets: Mapping[int, int], n_classes: int) -> Labels:
    """The target of every class under a map given as {clean: noisy}.

    Args:
        targets: pairs of class ids.
        n_classes: K.

    Returns:
        int64 [K]; a class that the map does not name is its own target.

    Raises:
        LabError: if it names a class that the data set does not have.
    """
    absent = sorted({c for pair in targets.items() for c in pair if not 0 <= c < n_classes})
    if absent:
        raise LabError(
            f"the map names class {absent[0]}",
            f"classes 0 to {n_classes - 1}",
            "mend `map` of the noise",
        )
    target = np.arange(n_classes)
    target[list(targets)] = list(targets.values())
    return target
