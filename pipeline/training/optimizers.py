"""The optimiser that the settings name."""

import torch

from pipeline.config import RunSettings
from pipeline.training.method import Method
from pipeline.training.schedules import learning_rate


def make_optimizer(method: Method, settings: RunSettings) -> torch.optim.Optimizer:
    """Optimiser over the method's parameter groups."""
    groups = method.parameter_groups()
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: RunSettings, progress: float
) -> float:
    """Set the rate of a step on all groups, times each group's `lr_factor`; return it."""
    rate = learning_rate(settings, progress)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)
    return rate
