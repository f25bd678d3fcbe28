"""What passes between host and device arrives as it was, and constants are one tensor."""

import numpy as np
import torch

from pipeline.data.host import constant, fetched, sent

CPU = torch.device("cpu")


def test_what_is_sent_arrives():
    values = np.arange(6.0).reshape(2, 3)
    found = sent(values, CPU)
    assert (found.dtype, found.tolist()) == (torch.float64, values.tolist())


def test_what_is_fetched_comes_part_by_part():
    parts = torch.arange(7).split([3, 0, 4])
    assert [part.tolist() for part in fetched(parts)] == [[0, 1, 2], [], [3, 4, 5, 6]]
    assert fetched([]) == []


def test_a_constant_is_made_once():
    first = constant((1, 2), torch.float64, CPU)
    assert first.tolist() == [1.0, 2.0]
    assert constant((1, 2), torch.float64, CPU) is first
    assert constant((1, 2), torch.int64, CPU).dtype == torch.int64
