"""Learning rates as closed-form functions of progress: no state, no count of processes."""

from __future__ import annotations

import math

import torch

from pipeline.config import RunSettings


def learning_rate(settings: RunSettings, progress: float) -> float:
    """Learning rate of a step.

    Args:
        settings: lr, epochs and what the schedule needs are read.
        progress: epochs that lie behind, fractions of the current one included.

    Returns:
        cosine: lr (1 + cos(pi epoch / epochs)) / 2, which never reaches 0 within the run;
        exponential: lr lr_decay^epoch; step: lr lr_decay^(milestones passed); constant: lr;
        warmup-cosine, of the progress p with warm-up W and horizon H, in epochs: lr p / W below W,
        then lr (1 + cos(pi (p - W) / (H - W))) / 2; cosine-restarts: the cosine from lr to lr_min
        over lr_cycle epochs, again and again; linear: lr, and from lr_decay_from on
        lr (epochs - epoch) / (epochs - lr_decay_from). All but warmup-cosine are constant within an
        epoch.
    """
    epoch = int(progress)
    match settings.schedule:
        case "cosine":
            rate = settings.lr * _falling(math.pi * epoch / settings.epochs)
        case "exponential":
            rate = settings.lr * settings.lr_decay**epoch
        case "step":
            passed = sum(epoch >= milestone for milestone in settings.lr_milestones)
            rate = settings.lr * settings.lr_decay**passed
        case "constant":
            rate = settings.lr
        case "warmup-cosine":
            warmup, horizon = settings.warmup_epochs, settings.lr_horizon or settings.epochs
            if progress < warmup:
                rate = settings.lr * progress / warmup
            else:
                fraction = (progress - warmup) / (horizon - warmup)
                rate = settings.lr * _falling(math.pi * fraction)
        case "cosine-restarts":
            fraction = epoch % settings.lr_cycle / settings.lr_cycle
            rate = settings.lr_min + (settings.lr - settings.lr_min) * _falling(math.pi * fraction)
        case "linear":
            falling = max(epoch - settings.lr_decay_from, 0)
            rate = settings.lr * (1 - falling / (settings.epochs - settings.lr_decay_from))
    return rate


def _falling(angle: float) -> float:
    """From 1 at 0 to 0 at pi."""
    return (1 + math.cos(angle)) / 2


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: RunSettings, progress: float
) -> float:
    """Set the rate of a step on all groups, by the run's schedule or their own; return the run's.

    A group has the rate of its `schedule` at its `own_lr`, counted from its `from_epoch` over its
    `over_epochs`, times its `lr_factor`; what it does not name is that of the run.
    """
    rate = learning_rate(settings, progress)
    for group in optimizer.param_groups:
        asked = {name: group.get(option) for name, option in _OF_SCHEDULE.items()}
        own = {name: value for name, value in asked.items() if value is not None}
        began = group.get("from_epoch", 0)
        if own or began:
            plan = settings.model_copy(update=own)
            group["lr"] = learning_rate(plan, progress - began) * group.get("lr_factor", 1.0)
        else:
            group["lr"] = rate * group.get("lr_factor", 1.0)
    return rate


_OF_SCHEDULE = {"lr": "own_lr", "schedule": "schedule", "epochs": "over_epochs"}
"""Settings that a group may have a value of its own for, and its option."""
