"""Reference vectors of the losses of RRR, and inputs by formula, for their tests.

reference/rrr_losses_reference.npz holds inputs and outputs of the official RRR code (snapshot
6f953a4, torch 2.15, CPU) for a batch of 24, for K = 10 (`c10.`) and K = 100 (`c100.`) classes:
  logits [24, K], features, features2 [24, 32] float64 (float32 inputs are these rounded), labels,
  peer_logits, peer_labels, T [K, K], anchor.logits [N, K] with its anchor matrix anchor.T_hat;
  <case>.loss64, <case>.loss32, and for each input <case>.grad_<input> (first six rows, float64) and
  <case>.grad_<input>_norm (L2 norm of all rows); of DMI there is float32 only;
  elr.*: three calls, and the running targets [34, K] after them; f_beta [200]: peer's schedule.
reference/rrr_views_reference.npz: its NT-Xent and weighted kNN.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.paths import REFERENCES

DATA = REFERENCES
REFERENCE = dict(np.load(DATA / "rrr_losses_reference.npz"))
VIEWS = dict(np.load(DATA / "rrr_views_reference.npz"))
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float64", "float32"])


def tensor(key: str, dtype: torch.dtype | None = None) -> Tensor:
    """An array of the reference as a tensor; floating ones in `dtype`."""
    found = torch.from_numpy(np.asarray(REFERENCE[key]))
    return found if dtype is None else found.to(dtype)


def check(at: str, case: str, dtype: torch.dtype, loss: Callable[..., Tensor], *names: str) -> None:
    """Compare value and gradients of `loss(*inputs)` with the reference."""
    tolerance = TOLERANCE[dtype]
    leaves = [tensor(f"{at}.{name}", dtype).requires_grad_() for name in names]
    value = loss(*leaves)
    bits = "64" if dtype == torch.float64 else "32"
    assert value.dtype == dtype
    assert value.item() == pytest.approx(float(REFERENCE[f"{at}.{case}.loss{bits}"]), rel=tolerance)
    for name, gradient in zip(names, torch.autograd.grad(value, leaves), strict=True):
        key = f"{at}.{case}.grad_{name}"
        close(gradient[:6], tensor(key), tolerance)
        norm = float(REFERENCE[f"{key}_norm"])
        assert gradient.double().norm().item() == pytest.approx(norm, rel=tolerance)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Compare relative to the largest entry: the smallest are beyond single precision."""
    deviation = (found.detach().double() - expected.double()).abs().max()
    assert deviation <= tolerance * expected.abs().max()


def sines(n: int, width: int, scale: float, offset: float) -> Tensor:
    """The float32 input u[i, j] = scale sin(1 + offset + 0.7 i + 1.3 j + 0.11 i j)."""
    i, j = torch.arange(n).double()[:, None], torch.arange(width).double()
    return (scale * (1 + offset + 0.7 * i + 1.3 * j + 0.11 * i * j).sin()).float()
