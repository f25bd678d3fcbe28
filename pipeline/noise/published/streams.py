"""The random streams with which published instance-dependent labels were made (legacy mode)."""

import numpy as np

from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.models.instance import SPREAD, VARIANTS, Projector, draw_legacy, flip_rates

DAL_SEED = 671
"""Seed of DAL's instance files (recovered from the labels)."""
_N_NORMALS = 1_000_000


def instance_legacy(
    clean: Labels, projector: Projector, n_classes: int, rate: float, seed: int
) -> Labels:
    """Instance-dependent labels in the draw order of the variant's published code.

    Args:
        clean: int64 [N].
        projector: the images or features, N rows; its variant picks the order of draws.
        n_classes: K.
        rate: nominal rate; 0 flips nothing.
        seed: of the RandomState; the published ones are 5 (xia2020), 671 (dal), 0 (rrr, cifarn).

    Returns:
        int64 [N].
    """
    if rate == 0:
        return clean.copy()
    if projector.variant == VARIANTS["dal"]:
        return dal(clean, projector, n_classes, rate, seed=seed, previous_classes=n_classes)
    source = np.random.RandomState(seed)
    if projector.variant.shared:
        q = _rates_by_rejection(rate, len(clean), source)
    else:
        q = flip_rates(rate, source.random_sample(len(clean)))
    return draw_legacy(clean, projector, n_classes, q, source)


def dal(
    clean: Labels,
    projector: Projector,
    n_classes: int,
    rate: float,
    *,
    seed: int = DAL_SEED,
    previous_classes: int = 10,
) -> Labels:
    """DAL's instance files: four made in one process, each seeded only after its flip rates.

    So the flip rates continue the stream that the previous file left. The order was cifar10_20,
    cifar10_40, cifar100_20, cifar100_40; what preceded the first is not known.

    Args:
        clean: int64 [N].
        projector: the images, N rows.
        n_classes: K.
        rate: nominal rate.
        seed: of the RandomState.
        previous_classes: K of the file made before this one, from as many images of the same size.

    Returns:
        int64 [N].
    """
    source = np.random.RandomState(seed)
    for _ in range(previous_classes):
        source.standard_normal((projector.n_features, previous_classes))
    source.random_sample(len(clean))
    q = flip_rates(rate, source.random_sample(len(clean)))
    return draw_legacy(clean, projector, n_classes, q, np.random.RandomState(seed))


def _rates_by_rejection(rate: float, n: int, source: np.random.RandomState) -> Floats:
    """The first n of a million normals that lie strictly inside (0, 1), as RRR and CIFAR-N do."""
    normals = source.normal(rate, SPREAD, _N_NORMALS)
    return normals[(normals > 0) & (normals < 1)][:n]
