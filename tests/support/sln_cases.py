"""Inputs and outputs of the official SLN code (see test_soft_targets.py)."""

import numpy as np
import torch

from tests.support.paths import REFERENCES

REFERENCE = dict(np.load(REFERENCES / "sln_reference.npz"))


def reference(name):
    """One array as a tensor."""
    return torch.from_numpy(np.asarray(REFERENCE[name]))
