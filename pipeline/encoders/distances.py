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
def proper_float32() -> Iterator[None]:
    """Products and convolutions in float32 proper, whatever the run around allows.

    What is kept in files is the same for all runs.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Neither shortened products nor autocast: the error bound holds for neither."""
    with proper_float32(), torch.autocast(device.type, enabled=False):
        yield
