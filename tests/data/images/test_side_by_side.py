"""Operations in turn: each image gets its own, whatever changes beside it."""

import numpy as np
import pytest
import torch

from pipeline.data.images.side_by_side import changed_in_turn

STILL = 2


def change(kind, x, numbers):
    return x.mul_(numbers[:, :1]) if kind == 0 else x + kind * numbers[:, 1:]


@pytest.mark.parametrize("n", [0, 1, 40])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_image_is_changed_by_its_own_operations_in_its_order(n, dtype):
    stream = np.random.default_rng(n)
    kinds, numbers = stream.integers(0, 5, (4, n)), stream.normal(size=(4, n, 2)).astype(dtype)
    x = torch.from_numpy(stream.normal(size=(n, 3)).astype(dtype))
    before = x.clone()
    found = changed_in_turn(x, kinds, numbers, change, STILL)
    assert torch.equal(x, before)
    for i in range(n):
        expected = before[i : i + 1].clone()
        for kind, own in zip(kinds[:, i], torch.from_numpy(numbers[:, i]), strict=True):
            expected = expected if kind == STILL else change(int(kind), expected, own[None])
        assert torch.equal(found[i : i + 1], expected)
