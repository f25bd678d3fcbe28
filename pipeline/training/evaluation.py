"""Accuracy, loss and confusion on labelled images, shared out over the processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.views import ImageSource
from pipeline.training.method import Method
from pipeline.training.processes import Processes

_BATCH = 512


@dataclass(frozen=True)
class Evaluation:
    """Results on one set of images.

    Args:
        loss: mean of -ln p of the label, p clamped to at least 1e-12.
        accuracy: fraction in [0, 1].
        top5: fraction whose label is among the five largest; None below ten classes.
        confusion: int64 [K, K] on the CPU, row = label, column = prediction.
    """

    loss: float
    accuracy: float
    top5: float | None
    confusion: Tensor


@torch.no_grad()
def predictions(
    method: Method, images: ImageSource, index: Tensor, processes: Processes,
    augmentation: int | None = None, function: Callable[..., Tensor] | None = None,
    views: tuple[str, ...] | None = None,
) -> Tensor:  # fmt: skip
    """Class probabilities of images, in order.

    Args:
        method: its `predict` is used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        processes: each process predicts its share.
        augmentation: seed of the weak view; None for the plain one.
        function: computed instead of `predict`.
        views: it takes; None for the method's `predict_views`.

    Returns:
        float32 [N, K], the same on all processes.
    """
    views = views or method.predict_views
    if augmentation is not None:
        views = tuple("weak" if view == "plain" else view for view in views)
    joined: Tensor | None = None
    method.eval()
    share = processes.share(len(index))
    parts = share.split(_BATCH)
    made = images.batches([index[part] for part in parts], views, [augmentation or 0] * len(views))
    for part, batch in zip(parts, made, strict=True):
        p = (function or method.predict)(*batch).float()
        if joined is None:
            joined = p.new_zeros(len(index), p.shape[1])
        joined[part] = p
    method.train()
    if joined is None:
        raise ValueError(f"{len(index)} images for {processes.n_processes} processes to predict")
    return processes.sum(joined)


@torch.no_grad()
def evaluate(
    method: Method, images: ImageSource, index: Tensor, labels: Tensor, processes: Processes
) -> Evaluation:
    """Evaluate on all images at `index`.

    Args:
        method: its `predict` is used.
        images: where the images come from.
        index: int64 [N], positions in `images`.
        labels: int64 [N], on the device.
        processes: each process evaluates its share; the result is the same on all.

    Returns:
        The evaluation over all N images.
    """
    method.eval()
    parts = processes.share(len(index)).split(_BATCH)
    views = method.predict_views
    made = images.batches([index[part] for part in parts], views, [0] * len(views))
    sums: Tensor | None = None
    confusion = torch.zeros(0, dtype=torch.int64, device=index.device)
    for part, batch in zip(parts, made, strict=True):
        p = method.predict(*batch)
        # Not less precise than it is: rounding could make two classes equal.
        p = p.to(torch.promote_types(p.dtype, torch.float32))
        y, n_classes = labels[part], p.shape[1]
        if sums is None:
            sums = torch.zeros(2, dtype=torch.float64, device=p.device)
            confusion = confusion.new_zeros(n_classes * n_classes)
        loss = -p.gather(1, y[:, None]).clamp(min=1e-12).log().sum()
        in_top5 = (p.topk(min(5, n_classes)).indices == y[:, None]).any(dim=1).sum()
        sums += torch.stack([loss, in_top5]).double()
        confusion += (y * n_classes + p.argmax(dim=1)).bincount(minlength=n_classes**2)
    method.train()
    if sums is None:
        raise ValueError(f"{len(index)} images for {processes.n_processes} processes to evaluate")
    total, counts = processes.sum(sums).tolist(), processes.sum(confusion)
    n_classes = round(len(counts) ** 0.5)
    matrix = counts.view(n_classes, n_classes).cpu()
    return Evaluation(
        loss=total[0] / len(index),
        accuracy=float(matrix.trace()) / len(index),
        top5=total[1] / len(index) if n_classes >= 10 else None,
        confusion=matrix,
    )
