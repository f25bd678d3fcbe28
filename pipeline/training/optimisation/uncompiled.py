"""Optimisers without torch's compiler, whose import takes longer than a short run."""

import inspect
from collections.abc import Callable
from typing import Any

import torch


class Uncompiled(torch.optim.Optimizer):
    """An optimiser that torch.compile takes no part in.

    Torch imports its compiler, which takes over a second, only to leave these functions out of it.
    A subclass does the same with its `step`; see `uncompiled_step`.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


def uncompiled_step(kind: type[torch.optim.Optimizer]) -> Callable[[Any], None]:
    """The step of a kind of optimiser, without gradients of its own."""
    step: Callable[[Any], None] = torch.no_grad()(inspect.unwrap(kind.step))
    return step
