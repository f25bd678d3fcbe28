"""The steps of an epoch: which samples each process takes, and the batches made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pipeline.config import RunSettings
from pipeline.identity import seed_stream
from pipeline.training.devices import Devices
from pipeline.training.method import Batch, Method, Partners
from pipeline.training.sampling import epoch_samples

if TYPE_CHECKING:
    from pipeline.training.loop import Labelled


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
    settings: RunSettings, epoch: int, y_noisy: Tensor, devices: Devices, with_partners: bool
) -> list[Step]:
    """The steps of an epoch on this process, a function of the settings and the epoch.

    Args:
        settings: of the run.
        epoch: from 0.
        y_noisy: int64 [N], given labels.
        devices: whose share is taken.
        with_partners: whether partners are drawn: in every epoch, images and labels each visit the
            training set in an order of their own.

    Returns:
        One entry per step.
    """
    draws = ("partner-images", "partner-labels") if with_partners else ()
    samples = [epoch_samples(settings, epoch, y_noisy, draw) for draw in (None, *draws)]
    steps = []
    for batch in torch.stack(samples).to(devices.device).split(settings.batch_size, dim=1):
        n = batch.shape[1]
        if settings.drop_last and n < settings.batch_size:
            break
        share = batch[:, devices.share(n)]
        # A last batch smaller than the number of processes: idle ones go along with weight 0.
        weight = share.shape[1]
        mine = share if weight else batch[:, :1]
        steps.append(Step(mine[0], weight, n, mine[1:]))
    return steps


def batches_of_steps(
    steps: list[Step], method: Method, train: Labelled, seed: int, epoch: int, devices: Devices
) -> Iterator[Batch]:
    """The batches of some steps, made ahead of their use where the images are decoded.

    Args:
        steps: of this process.
        method: whose views are made.
        train: the training samples.
        seed: root seed of the run; every draw of a view is a pure function of it, the epoch and
            the sample.
        epoch: from 0.
        devices: of the run.

    Yields:
        One batch per step.
    """
    stream = (seed, "augment", epoch)
    made = _views(train, [step.samples for step in steps], method.views, *stream)
    partners: Iterator[Partners | None] = iter([None] * len(steps))
    if method.partner_views:
        partners = _partners(train, steps, method.partner_views, *stream, "partners")
    for step, views, others in zip(steps, made, partners, strict=True):
        together = devices.together(step.n_samples)
        yield Batch(views, train.y_noisy[step.samples], step.samples, together, others)


def _partners(
    train: Labelled, steps: list[Step], names: tuple[str, ...], seed: int, *stream: str | int
) -> Iterator[Partners]:
    made = _views(train, [step.partners[0] for step in steps], names, seed, *stream)
    for step, views in zip(steps, made, strict=True):
        yield Partners(views, train.y_noisy[step.partners[1]])


def _views(
    train: Labelled, samples: list[Tensor], names: tuple[str, ...], seed: int, *stream: str | int
) -> Iterator[tuple[Tensor, ...]]:
    seeds = [seed_stream(seed, *stream, number) for number in range(len(names))]
    return train.images.batches([train.index[part] for part in samples], names, seeds)
