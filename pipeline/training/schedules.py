"""Learning rates as closed-form functions of the epoch: no state, no count of processes."""

import math

from pipeline.config import RunSettings


def learning_rate(settings: RunSettings, epoch: int) -> float:
    """Learning rate of an epoch.

    Args:
        settings: lr, schedule, lr_decay, lr_milestones and epochs are read.
        epoch: from 0.

    Returns:
        cosine: lr (1 + cos(pi epoch / epochs)) / 2, which never reaches 0 within the run;
        exponential: lr lr_decay^epoch; step: lr lr_decay^(milestones passed); constant: lr.
    """
    match settings.schedule:
        case "cosine":
            return settings.lr * (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
        case "exponential":
            return settings.lr * settings.lr_decay**epoch
        case "step":
            passed = sum(epoch >= milestone for milestone in settings.lr_milestones)
            return settings.lr * settings.lr_decay**passed
        case "constant":
            return settings.lr
