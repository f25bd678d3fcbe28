"""The optimiser of a run, over the parameter groups of its method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.training.method import Method
from pipeline.training.optimisation.mixed_optimizer import MixedOptimizer
from pipeline.training.optimisation.parameter_groups import groups_of, note_made


def make_optimizer(method: Method, settings: RunSettings) -> torch.optim.Optimizer:
    """Optimiser over the method's parameter groups, of which some may want another than the run's.

    Raises:
        LabError: for a group with an option that does not exist.
    """
    groups = groups_of(method)
    make: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
        "adam": lambda own: torch.optim.Adam(
            own, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        ),
        "sgd": lambda own: torch.optim.SGD(
            own,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=True,
        ),
    }
    if any("optimizer" in group for group in groups):
        usual: dict[str, Any] = {"optimizer": settings.optimizer}
        optimizer: torch.optim.Optimizer = MixedOptimizer([usual | g for g in groups], make)
    else:
        optimizer = make[settings.optimizer](groups)
    note_made(optimizer)
    return optimizer


def clipped_groups(
    optimizer: torch.optim.Optimizer, settings: RunSettings
) -> list[list[nn.Parameter]]:
    """Parameters whose gradient norms are limited: all together, or each group by itself."""
    groups = [group["params"] for group in optimizer.param_groups if group.get("clipped", True)]
    return groups if settings.clip_separately else [[p for group in groups for p in group]]
