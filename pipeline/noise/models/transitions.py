"""Class-conditional noise: transition matrices T[i, j] = P(noisy = j | clean = i), and drawing."""

import numpy as np

from pipeline.noise.arrays import Floats, Labels


def symmetric(rate: float, n_classes: int) -> Floats:
    """Flips go to the other classes alone; the share of wrong labels is `rate`.

    Args:
        rate: probability of a flip.
        n_classes: K.

    Returns:
        float64 [K, K]: 1 - rate on the diagonal, rate / (K - 1) elsewhere.
    """
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1.0 - rate)
    return matrix


def symmetric_inclusive(rate: float, n_classes: int) -> Floats:
    """Replacement by any class, the own included; the share of wrong labels is rate (K - 1) / K.

    Args:
        rate: probability of a replacement.
        n_classes: K.

    Returns:
        float64 [K, K]: 1 - rate + rate / K on the diagonal, rate / K elsewhere.
    """
    matrix = np.full((n_classes, n_classes), rate / n_classes)
    np.fill_diagonal(matrix, 1.0 - rate + rate / n_classes)
    return matrix


def along_map(rate: float, target: Labels) -> Floats:
    """Flips go from each class to its one target.

    Args:
        rate: probability of a flip in a class that has another target than itself.
        target: int64 [K].

    Returns:
        float64 [K, K].
    """
    own = np.arange(len(target))
    matrix = np.eye(len(target))
    moved = target != own
    matrix[own[moved], own[moved]] = 1.0 - rate
    matrix[own[moved], target[moved]] = rate
    return matrix


def draw(labels: Labels, matrix: Floats, seed: int) -> Labels:
    """Draw a noisy label for each label from its row, one uniform number per sample.

    Args:
        labels: int64 [N], values below K.
        matrix: float64 [K, K], rows sum to one.
        seed: of NumPy's PCG64.

    Returns:
        int64 [N].
    """
    uniforms = np.random.Generator(np.random.PCG64(seed)).random(len(labels))
    cumulative = np.cumsum(matrix, axis=1)
    # Exactly 1 from the last class with any probability on: no later class is ever drawn.
    cumulative /= cumulative[:, -1:]
    # The narrowest integer type lets NumPy sort by radix.
    order = np.argsort(labels.astype(np.min_scalar_type(len(matrix))), kind="stable")
    bounds = np.searchsorted(labels, np.arange(len(matrix) + 1), sorter=order)
    noisy = np.empty_like(labels)
    for row, start, end in zip(cumulative, bounds[:-1], bounds[1:], strict=True):
        members = order[start:end]
        noisy[members] = np.searchsorted(row, uniforms[members], side="right")
    return noisy


def draw_legacy(labels: Labels, matrix: Floats, seed: int) -> Labels:
    """Draw as the published generators of PLC, RRR, LRA-Diffusion and CIFAR-N do.

    One multinomial call per sample, in order: its consumption of random numbers depends on the
    outcome, so that no vectorised form gives the same labels.

    Args:
        labels: int64 [N], values below K.
        matrix: float64 [K, K], rows sum to one.
        seed: of NumPy's RandomState.

    Returns:
        int64 [N].
    """
    source = np.random.RandomState(seed)
    rows = list(matrix)
    return np.array([source.multinomial(1, rows[label]).argmax() for label in labels], np.int64)


def inverse_cdf(weights: Floats, uniforms: Floats) -> Labels:
    """Draw a class per row, as NumPy's `choice(K, p=row)` does with one uniform number.

    Args:
        weights: float64 [n, K], not negative, rows with a positive sum.
        uniforms: float64 [n] in [0, 1).

    Returns:
        int64 [n].
    """
    cumulative = np.cumsum(weights, axis=1)
    cumulative /= cumulative[:, -1:]
    return np.asarray((cumulative <= uniforms[:, None]).sum(axis=1), np.int64)
