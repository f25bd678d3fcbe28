"""The batches of an epoch: which samples each process takes, in which order, and their views."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
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


def epoch_samples(settings: RunSettings, epoch: int, y_noisy: Tensor, *names: str) -> Tensor:
    """Samples of an epoch, a function of the settings, the epoch and the draw alone.

    Args:
        settings: the stream order, sampling and per_class are read.
        epoch: from 0.
        y_noisy: int64 [N], given labels.
        names: of a draw independent of the samples that are trained on; none for those.

    Returns:
        int64 positions among the training samples, in the order of their use; on the CPU.
    """
    seed = settings.stream("order", epoch, *names)
    if settings.sampling == "all":
        return epoch_order(seed, len(y_noisy))
    return torch.from_numpy(balanced_epoch(y_noisy.cpu().numpy(), settings.per_class, seed))


class Step(NamedTuple):
    """What this process does in one step, of one stream."""

    samples: Tensor
    """Positions among the training samples, int64 [B]."""
    weight: int
    """How many of them count."""
    n_samples: int
    """How many count on all processes."""
    partners: Tensor
    """Positions of the images and of the labels of `Partners`, int64 [2, B]; [0, B] for none."""
    number: int = 0
    """Of the pass over the stream that the step belongs to."""
    turns: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    """How often each sample came before in the pass, [B], where the step is of a stream."""

    def share_of_loss(self, mean: Tensor, n_processes: int) -> Tensor:
        """What a mean over this process adds to the one over all samples, times the processes.

        DDP averages over processes.
        """
        factor = self.weight * n_processes / self.n_samples
        return mean if factor == 1 else mean * factor


def steps_of_epoch(
    settings: RunSettings,
    epoch: int,
    y_noisy: Tensor,
    processes: Processes,
    with_partners: bool,
    *phase: str,
) -> list[Step]:
    """The steps of an epoch on this process, a function of the settings and the epoch.

    Args:
        settings: of the run.
        epoch: from 0.
        y_noisy: int64 [N], given labels.
        processes: whose share is taken.
        with_partners: whether partners are drawn: in every epoch, images and labels each visit the
            training set in an order of their own.
        phase: its name, where the epoch has several: each visits the samples in its own order.

    Returns:
        One entry per step.
    """
    draws: list[tuple[str, ...]] = [()]
    if with_partners:
        draws += [("partner-images",), ("partner-labels",)]
    samples = [epoch_samples(settings, epoch, y_noisy, *phase, *draw) for draw in draws]
    rows = torch.stack(samples).to(processes.device)
    return shared_steps(rows, settings.batch_size, settings.drop_last, processes)


def shared_steps(
    rows: Tensor, batch_size: int, drop_last: bool, processes: Processes
) -> list[Step]:
    """This process's share of each batch of one pass.

    Args:
        rows: int64 [1 + n, N], samples in the order of their use, and what goes along with each.
        batch_size: over all processes.
        drop_last: leave out a last batch that is smaller.
        processes: whose share is taken.

    Returns:
        One entry per step.
    """
    steps = []
    for batch in rows.split(batch_size, dim=1):
        n = batch.shape[1]
        if drop_last and n < batch_size:
            break
        # A window of the order: nothing is copied, nor launched on a device.
        share = batch[:, processes.rank :: processes.n_processes]
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
    *phase: str,
) -> Iterator[Batch]:
    """The batches of some steps, made ahead of their use where the images are decoded.

    Args:
        steps: of this process.
        method: whose views are made.
        train: the training samples.
        seed: root of the stream augment; every draw of a view is a pure function of it, the epoch,
            the phase and the sample.
        epoch: from 0.
        processes: of the run.
        phase: its name, where the epoch has several.

    Yields:
        One batch per step.
    """
    stream: tuple[str | int, ...] = ("augment", epoch, *phase)
    made = views_of(train, [step.samples for step in steps], method.views, seed, *stream)
    partners: Iterator[Partners | None] = iter([None] * len(steps))
    if method.partner_views:
        partners = _partners(train, steps, method.partner_views, seed, *stream, "partners")
    for step, views, others in zip(steps, made, partners, strict=True):
        gather = processes.gather(step.n_samples)
        yield Batch(views, train.y_noisy[step.samples], step.samples, gather, others)


def _partners(
    train: TrainSamples, steps: list[Step], names: tuple[str, ...], seed: int, *stream: str | int
) -> Iterator[Partners]:
    made = views_of(train, [step.partners[0] for step in steps], names, seed, *stream)
    for step, views in zip(steps, made, strict=True):
        yield Partners(views, train.y_noisy[step.partners[1]])


def views_of(
    train: TrainSamples,
    samples: list[Tensor],
    names: tuple[str, ...],
    seed: int,
    *stream: str | int,
) -> Iterator[tuple[Tensor, ...]]:
    """Views of several batches of samples, drawn from the random stream of a name."""
    seeds = [seed_stream(seed, *stream, number) for number in range(len(names))]
    positions = train.index[torch.cat(samples)] if samples else train.index[:0]
    requests = positions.split([len(part) for part in samples])
    return train.images.batches(requests, names, seeds)
