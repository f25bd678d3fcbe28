"""Euclidean distances between rows of features: exact ones, and how far fast ones may be off."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def exact_distances(queries: Tensor, rows: Tensor) -> Tensor:
    """Distances [.., M, N] from differences: equal rows get equal numbers, wherever they stand.

    Args:
        queries: [.., M, D], float64.
        rows: [.., N, D], float64.
    """
    return torch.cdist(queries, rows, compute_mode="donot_use_mm_for_euclid_dist")


def rounding_bound(n_features: int, size: Tensor, longest: Tensor) -> Tensor:
    """Bound on the error of |q|^2 - 2 q b + |b|^2, float64 [M].

    A product of length D is off by at most D u |q| |b| with the unit roundoff u, in whatever order
    it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); shift, norms
    and sums add a few u (|q| + |b|)^2. Twice |q| |b| is at most half of that square.

    Args:
        n_features: D.
        size: [M], squared lengths of the queries; their type is that of the computation.
        longest: scalar, the largest squared length in the bank.
    """
    kind = torch.finfo(size.dtype)
    together = (size.double().sqrt() + longest.double().sqrt()).square()
    # Below the smallest normal number, rounding is absolute.
    return (n_features / 2 + 16) * (1.01 * kind.eps / 2 * together + 4 * kind.tiny)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Matrix products in float32 proper: the error bound does not hold for shortened types."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
