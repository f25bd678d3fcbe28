"""Which training samples an epoch visits, and in which order."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.config import RunSettings
from pipeline.data.balanced import balanced_epoch
from pipeline.data.randomness import epoch_order
from pipeline.identity import seed_stream


def epoch_samples(
    settings: RunSettings, epoch: int, y_noisy: Tensor, draw: str | None = None
) -> Tensor:
    """Samples of an epoch, a function of the settings, the epoch and the draw alone.

    Args:
        settings: seed, sampling and per_class are read.
        epoch: from 0.
        y_noisy: int64 [N], given labels.
        draw: name of a draw independent of the samples that are trained on; None for those.

    Returns:
        int64 positions among the training samples, in the order of their use; on the CPU.
    """
    names = () if draw is None else (draw,)
    seed = seed_stream(settings.seed, "order", epoch, *names)
    if settings.sampling == "all":
        return epoch_order(seed, len(y_noisy))
    return torch.from_numpy(balanced_epoch(y_noisy.cpu().numpy(), settings.per_class, seed))
