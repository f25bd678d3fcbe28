"""The one epoch loop: it trains, records and saves; it selects no epoch and knows no method."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.config import RunSettings
from pipeline.data.randomness import epoch_order
from pipeline.data.views import ImageSource
from pipeline.identity import finite_or_none, seed_stream
from pipeline.training.context import Context
from pipeline.training.devices import Devices
from pipeline.training.dynamics import Dynamics
from pipeline.training.evaluation import Evaluation, evaluate
from pipeline.training.method import Batch, Method, StepOutput
from pipeline.training.optimizers import set_learning_rate
from pipeline.training.posterior import Posterior
from pipeline.training.stopping import StopRequest


@dataclass(frozen=True)
class Labelled:
    """Images with labels, as the loop needs them.

    Args:
        images: where the images come from.
        index: int64 [N], positions in `images`.
        y_noisy: int64 [N], given labels.
        y_clean: int64 [N] or None where unknown.
    """

    images: ImageSource
    index: Tensor
    y_noisy: Tensor
    y_clean: Tensor | None


@dataclass
class Progress:
    """Where a run stands: the next step, and the sums of the epoch so far."""

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    """Of the current epoch, in this and earlier sittings."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """One row per finished epoch, in the columns of the epochs table."""

    def next_epoch(self, record: dict[str, Any]) -> None:
        """Keep the record of the finished epoch and stand at the start of the next."""
        self.records.append(record)
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0


@dataclass
class Session:
    """A run in progress: everything the loop works with."""

    settings: RunSettings
    devices: Devices
    method: Method
    trained: nn.Module
    """The method as the devices run it (wrapped for several processes)."""
    optimizer: torch.optim.Optimizer
    train: Labelled
    test: Labelled
    validation: Labelled | None
    context: Context
    dynamics: Dynamics
    progress: Progress
    posterior: Posterior | None = None
    """Kept on request only."""
    last_test: Evaluation | None = None


class Diverged(Exception):
    """The training loss became NaN or infinite."""


def run_epochs(session: Session, stop: StopRequest) -> Iterator[dict[str, Any]]:
    """Train until the last epoch.

    Args:
        session: the run; its progress is advanced.
        stop: asked after every step whether to save or to stop.

    Yields:
        The record of each epoch, in the columns of the epochs table.

    Raises:
        Diverged: after an epoch whose mean loss is not finite; its record is kept.
        Interrupted: when a stop was asked for; the progress is saved.
    """
    settings, progress = session.settings, session.progress
    session.method.start(session.context)
    for epoch in range(progress.epoch, settings.epochs):
        session.context.epoch = epoch
        rate = set_learning_rate(session.optimizer, settings, epoch)
        session.method.epoch_start(session.context)
        means = _train_epoch(session, stop)
        record = _finish_epoch(session, epoch, means) | {"lr": rate}
        progress.next_epoch(record)
        yield record
        if record["train_loss"] is None:
            raise Diverged(f"the training loss became NaN or infinite in epoch {epoch}")


def _train_epoch(session: Session, stop: StopRequest) -> dict[str, float]:
    """Train the rest of the current epoch; returns the means of loss and scalars over it."""
    settings, devices, progress = session.settings, session.devices, session.progress
    n = len(session.train.index)
    order = epoch_order(seed_stream(settings.seed, "order", progress.epoch), n)
    batches = order.to(devices.device).split(settings.batch_size)
    began = time.perf_counter() - progress.seconds
    sums = _sums_so_far(progress, devices)
    bar = tqdm(
        batches[progress.step :],
        desc=f"epoch {progress.epoch + 1}/{settings.epochs}",
        initial=progress.step,
        total=len(batches),
        leave=False,
        # None means: shown on a terminal only.
        disable=None if devices.is_main else True,
    )
    for samples in bar:
        output, weight = _step(session, samples)
        for name, value in {"loss": output.loss, **output.scalars}.items():
            sums[name] = sums.get(name, 0.0) + value.detach().double() * weight
        progress.step += 1
        if stop.save_now(progress.step):
            progress.sums = _joined(sums, devices)
            progress.seconds = time.perf_counter() - began
            stop.save()
            sums = _sums_so_far(progress, devices)
    progress.seconds = time.perf_counter() - began
    return {name: total / n for name, total in _joined(sums, devices).items()}


def _sums_so_far(progress: Progress, devices: Devices) -> dict[str, Tensor]:
    # The joined sums belong to all processes; the main one carries them on.
    return {
        name: torch.tensor(
            total if devices.is_main else 0.0, dtype=torch.float64, device=devices.device
        )
        for name, total in progress.sums.items()
    }


def _joined(sums: dict[str, Tensor], devices: Devices) -> dict[str, float]:
    totals = devices.sum(torch.stack(list(sums.values())))
    return dict(zip(sums, totals.tolist(), strict=True))


def _step(session: Session, samples: Tensor) -> tuple[StepOutput, int]:
    """One optimiser step; returns the output and the number of samples it speaks for."""
    settings, devices = session.settings, session.devices
    epoch, step = session.progress.epoch, session.progress.step
    # What a method draws from torch's global stream depends on the step alone, so a run that
    # was stopped and resumed draws the same.
    devices.seed(seed_stream(settings.seed, "method", epoch, step, devices.rank))
    share = samples[devices.rank :: devices.n_processes]
    # A last batch smaller than the number of processes: idle ones go along with weight 0.
    mine, weight = (share, len(share)) if len(share) else (samples[:1], 0)
    batch = _make_batch(session, mine, epoch)
    output: StepOutput = session.trained(batch)
    # DDP averages over processes; this weight makes it the mean over the global batch.
    factor = weight * devices.n_processes / len(samples)
    devices.backward(output.loss * factor)
    if settings.clip_norm is not None:
        devices.clip_gradients(session.trained, settings.clip_norm)
    session.optimizer.step()
    session.optimizer.zero_grad(set_to_none=True)
    if weight and output.logits is not None:
        session.dynamics.record(mine, output.logits)
        if session.posterior is not None:
            session.posterior.record(mine, output.logits)
    return output, weight


def _make_batch(session: Session, samples: Tensor, epoch: int) -> Batch:
    train, seed = session.train, session.settings.seed
    position = train.index[samples]
    views = tuple(
        train.images.augmented(view, position, seed_stream(seed, "augment", epoch, number))
        for number, view in enumerate(session.method.views)
    )
    return Batch(views, train.y_noisy[samples], samples)


def _finish_epoch(session: Session, epoch: int, means: dict[str, float]) -> dict[str, Any]:
    """Close an epoch: method's hook, dynamics, evaluation; returns its record."""
    method, devices = session.method, session.devices
    method.epoch_end(session.context)
    devices.average_running_statistics(method)
    measures = session.dynamics.close_epoch(epoch)
    if session.posterior is not None:
        session.posterior.close_epoch()
    test = _evaluate(session, session.test)
    session.last_test = test
    record: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": finite_or_none(means["loss"]),
        **measures,
        "test_loss": finite_or_none(test.loss),
        "test_accuracy": test.accuracy,
        "test_top5": test.top5,
        "val_noisy_accuracy": None,
        "val_clean_accuracy": None,
        "scalars": {name: finite_or_none(v) for name, v in means.items() if name != "loss"},
        "seconds": session.progress.seconds,
    }
    if session.validation is not None:
        record |= _validate(session, session.validation)
    return record


def _evaluate(session: Session, data: Labelled) -> Evaluation:
    return evaluate(session.method, data.images, data.index, data.y_noisy, session.devices)


def _validate(session: Session, data: Labelled) -> dict[str, float | None]:
    noisy = _evaluate(session, data)
    if data.y_clean is None:
        return {"val_noisy_accuracy": noisy.accuracy}
    clean = evaluate(session.method, data.images, data.index, data.y_clean, session.devices)
    return {"val_noisy_accuracy": noisy.accuracy, "val_clean_accuracy": clean.accuracy}
