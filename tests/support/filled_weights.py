"""Weights of reference networks, which are not stored but drawn again by a rule."""

import numpy as np
import torch


def filled(names, shapes, seed):
    """Weights by name, drawn in the order of the names from one stream."""
    stream = np.random.default_rng(int(seed))
    return {
        name: _filled(name, tuple(shape), stream) for name, shape in zip(names, shapes, strict=True)
    }


def _filled(name, shape, stream):
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    x = stream.standard_normal(int(np.prod(shape))).reshape(shape)
    if name.endswith("running_mean") or name.endswith("bias"):
        x = 0.1 * x
    elif name.endswith("running_var"):
        x = np.exp(0.2 * x)
    elif len(shape) == 1:
        x = 1 + 0.1 * x
    else:
        x = x * np.sqrt(2 * shape[0] / x.size)
    return torch.tensor(x, dtype=torch.float32)
