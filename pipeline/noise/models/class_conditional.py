"""Class-conditional noise: each label is flipped by a law of its class alone."""

from __future__ import annotations

import numpy as np

from pipeline.errors import LabError
from pipeline.noise import noise_spec as kinds
from pipeline.noise.arrays import Floats, Labels
from pipeline.noise.models import transitions
from pipeline.noise.models.class_maps import custom_map, named_map
from pipeline.noise.models.drawn import Drawn

ConditionalSpec = (
    kinds.Symmetric | kinds.SymmetricInclusive | kinds.Pair | kinds.Asymmetric | kinds.Matrix
)


def flipped(spec: ConditionalSpec, labels: Labels, n_classes: int) -> Drawn:
    """Class-conditional noise on any labels, clean or noisy already.

    Args:
        spec: kind and parameters.
        labels: int64 [n].
        n_classes: K.

    Returns:
        The labels and what belongs on their card.

    Raises:
        LabError: if a matrix or a map does not fit the number of classes.
    """
    matrix, convention = _matrix(spec, n_classes)
    draw = transitions.draw_legacy if spec.rng == "legacy" else transitions.draw
    if isinstance(spec, kinds.Matrix):
        nominal = float(1.0 - np.diag(matrix)[labels].mean())
    else:
        nominal = spec.rate
    return Drawn(
        draw(labels, matrix, spec.seed),
        convention,
        nominal,
        spec.seed,
        {"rng": spec.rng},
    )


def _matrix(spec: ConditionalSpec, n_classes: int) -> tuple[Floats, str]:
    if isinstance(spec, kinds.Matrix):
        if len(spec.matrix) != n_classes:
            raise LabError(
                f"a matrix of {len(spec.matrix)} classes",
                f"one of {n_classes}, as the data set has",
                "mend `matrix`",
            )
        return np.array(spec.matrix), "matrix"
    if isinstance(spec, kinds.Symmetric):
        return transitions.symmetric(spec.rate, n_classes), "symmetric"
    if isinstance(spec, kinds.SymmetricInclusive):
        return transitions.symmetric_inclusive(spec.rate, n_classes), "symmetric-inclusive"
    if isinstance(spec, kinds.Pair):
        target = named_map("next_class", n_classes)
        return transitions.along_map(spec.rate, target), "pair"
    named = isinstance(spec.map, str)
    target = (
        named_map(spec.map, n_classes)
        if isinstance(spec.map, str)
        else custom_map(spec.map, n_classes)
    )
    return (
        transitions.along_map(spec.rate, target),
        f"asymmetric/{spec.map if named else 'own map'}",
    )
