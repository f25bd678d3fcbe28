"""Learning rates as closed-form functions of progress: no state, no count of processes."""

import math

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
        then lr (1 + cos(pi (p - W) / (H - W))) / 2. The others are constant within an epoch.
    """
    epoch = int(progress)
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
        case "warmup-cosine":
            warmup, horizon = settings.warmup_epochs, settings.lr_horizon or settings.epochs
            if progress < warmup:
                return settings.lr * progress / warmup
            fraction = (progress - warmup) / (horizon - warmup)
            return settings.lr * (1 + math.cos(math.pi * fraction)) / 2
