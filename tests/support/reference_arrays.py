"""Arrays of a reference file by case, as tensors: keys are `case.name`."""

from functools import cache

import numpy as np
import torch

from tests.support.paths import REFERENCES


@cache
def _arrays(file):
    with np.load(REFERENCES / f"{file}_reference.npz") as stored:
        return dict(stored)


def cases(file, start=""):
    """Names of the cases of a file that begin with `start`."""
    return sorted({key.split(".")[0] for key in _arrays(file) if key.startswith(start)})


def case_of(file, case):
    """Name -> value of one case: numbers as such, arrays as tensors."""
    at = f"{case}."
    found = {key.removeprefix(at): v for key, v in _arrays(file).items() if key.startswith(at)}
    return {name: v.item() if v.ndim == 0 else _tensor(v) for name, v in found.items()}


def _tensor(values):
    return torch.from_numpy(values) if values.dtype.kind in "biuf" else values


def state_of(case, prefix):
    """A state dict that is stored as `prefix/NAME`."""
    at = f"{prefix}/"
    return {
        name.removeprefix(at): torch.as_tensor(v) for name, v in case.items() if name.startswith(at)
    }


def close_to(found, expected, tolerance):
    """Whether the largest difference is within a share of the largest entry."""
    largest = expected.abs().max().clamp(min=1e-30)
    return float((found - expected).abs().max() / largest) <= tolerance
