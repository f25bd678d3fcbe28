"""The batches of an epoch: which samples each process takes, in which order, and their views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.config import RunSettings
from pipeline.data.balanced import balanced_epoch
from pipeline.data.randomness import epoch_order
from pipeline.data.views import ImageSource
from pipeline.errors import LabError
from pipeline.identity import seed_stream
from pipeline.training.method import Batch, Method, Partners
from pipeline.training.processes import Processes


@dataclass(frozen=True)
class Labelled:
    """Images with labels, as the loop needs them.

    Args:
        images: where the images come from.
        index: int64 [N], positions in `images`.
        y_noisy: int64 [N], given labels; None where only clean ones are known, as of test splits.
        y_clean: int64 [N] or None where unknown.
    """

    images: ImageSource
    index: Tensor
    y_noisy: Tensor | None
    y_clean: Tensor | None


@dataclass(frozen=True)
class TrainSamples(Labelled):
    """The images that a run trains on: given labels are always there."""

    y_noisy: Tensor


def check_batch_size(settings: RunSettings, y_noisy: Tensor, n_processes: int) -> None:
    """Refuse a batch that the processes or the samples of an epoch do not fill.

    Args:
        settings: batch_size, drop_last and the sampling are read.
        y_noisy: int64 [N], given labels.
        n_processes: that share each batch.

    Raises:
        LabError: when the processes do not divide the batch, or when `drop_last` would leave out
            all samples.
    """
    size = settings.batch_size
    if size % n_processes:
        fitting = size // n_processes * n_processes or n_processes
        raise LabError(
            f"batch_size {size} on {n_processes} processes",
            "a global batch that the number of processes divides",
            f"--batch-size {fitting}",
        )
    n = len(epoch_samples(settings, 0, y_noisy))
    if settings.drop_last and n < size:
        fitting = n // n_processes * n_processes
        smaller = f"--batch-size {fitting} or " if fitting else ""
        raise LabError(
            f"batch_size {size} with drop_last, but an epoch has {n} samples: none would be left",
            f"a batch_size of at most {n}, or drop_last: false",
            f"{smaller}--no-drop-last",
        )


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


class Step(NamedTuple):
    """What this process does in one step."""

    samples: Tensor
    """Positions among the training samples, int64 [B]."""
    weight: int
    """How many of them count."""
    n_samples: int
    """How many count on all processes."""
    partners: Tensor
    """Positions of the images and of the labels of `Partners`, int64 [2, B]; [0, B] for none."""


def steps_of_epoch(
    settings: RunSettings, epoch: int, y_noisy: Tensor, processes: Processes, with_partners: bool
) -> list[Step]:
    """The steps of an epoch on this process, a function of the settings and the epoch.

    Args:
        settings: of the run.
        epoch: from 0.
        y_noisy: int64 [N], given labels.
        processes: whose share is taken.
        with_partners: whether partners are drawn: in every epoch, images and labels each visit the
            training set in an order of their own.

    Returns:
        One entry per step.
    """
    draws = ("partner-images", "partner-labels") if with_partners else ()
    samples = [epoch_samples(settings, epoch, y_noisy, draw) for draw in (None, *draws)]
    steps = []
    for batch in torch.stack(samples).to(processes.device).split(settings.batch_size, dim=1):
        n = batch.shape[1]
        if settings.drop_last and n < settings.batch_size:
            break
        share = batch[:, processes.share(n)]
        # A last batch smaller than the number of processes: idle ones go along with weight 0.
        weight = share.shape[1]
        mine = share if weight else batch[:, :1]
        steps.append(Step(mine[0], weight, n, mine[1:]))
    return steps


def batches_of_steps(
    steps: list[Step],
    method: Method,
    train: TrainSamples,
    seed: int,
    epoch: int,
    processes: Processes,
) -> Iterator[Batch]:
    """The batches of some steps, made ahead of their use where the images are decoded.

    Args:
        steps: of this process.
        method: whose views are made.
        train: the training samples.
        seed: root seed of the run; every draw of a view is a pure function of it, the epoch and
            the sample.
        epoch: from 0.
        processes: of the run.

    Yields:
        One batch per step.
    """
    stream = (seed, "augment", epoch)
    made = _views(train, [step.samples for step in steps], method.views, *stream)
    partners: Iterator[Partners | None] = iter([None] * len(steps))
    if method.partner_views:
        partners = _partners(train, steps, method.partner_views, *stream, "partners")
    for step, views, others in zip(steps, made, partners, strict=True):
        gather = processes.gather(step.n_samples)
        yield Batch(views, train.y_noisy[step.samples], step.samples, gather, others)


def _partners(
    train: TrainSamples, steps: list[Step], names: tuple[str, ...], seed: int, *stream: str | int
) -> Iterator[Partners]:
    made = _views(train, [step.partners[0] for step in steps], names, seed, *stream)
    for step, views in zip(steps, made, strict=True):
        yield Partners(views, train.y_noisy[step.partners[1]])


def _views(
    train: TrainSamples,
    samples: list[Tensor],
    names: tuple[str, ...],
    seed: int,
    *stream: str | int,
) -> Iterator[tuple[Tensor, ...]]:
    seeds = [seed_stream(seed, *stream, number) for number in range(len(names))]
    return train.images.batches([train.index[part] for part in samples], names, seeds)
