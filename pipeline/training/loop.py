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
from pipeline.identity import finite_or_none, seed_stream
from pipeline.training.batches import (
    Labelled,
    Step,
    TrainSamples,
    batches_of_steps,
    steps_of_epoch,
)
from pipeline.training.context import Context
from pipeline.training.evaluation import Evaluation, evaluate
from pipeline.training.method import Batch, Method, StepOutput
from pipeline.training.observers import Dynamics, Posterior
from pipeline.training.optimisation import (
    WeightAverage,
    clipped_groups,
    learning_rate,
    set_learning_rate,
)
from pipeline.training.processes import Processes
from pipeline.training.stopping import StopRequest


@dataclass
class Progress:
    """Where a run stands: the next step, and the sums of the epoch so far.

    All but `sums` is the same on all processes.
    """

    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Of the loss and the scalars over the samples of this process."""
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
    processes: Processes
    method: Method
    trained: nn.Module
    """The method as the processes run it (wrapped for several processes)."""
    optimizer: torch.optim.Optimizer
    train: TrainSamples
    test: Labelled
    other_tests: dict[str, Labelled]
    """Further test splits by name, whose figures are scalars of the epoch."""
    validation: Labelled | None
    context: Context
    dynamics: Dynamics
    progress: Progress
    average: WeightAverage | None = None
    """Where the setting `averaging` asks for one."""
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
        session.context.epoch, session.context.resumed = epoch, progress.step > 0
        rate = learning_rate(settings, epoch)
        session.method.epoch_start(session.context)
        means = _train_epoch(session, stop)
        record = _finish_epoch(session, epoch, means) | {"lr": rate}
        progress.next_epoch(record)
        yield record
        if record["train_loss"] is None:
            raise Diverged(f"the training loss became NaN or infinite in epoch {epoch}")


def _train_epoch(session: Session, stop: StopRequest) -> dict[str, float]:
    """Train the rest of the current epoch; returns the means of loss and scalars over it."""
    settings, processes, progress = session.settings, session.processes, session.progress
    epoch, method, train = progress.epoch, session.method, session.train
    with_partners = bool(method.partner_views)
    steps = steps_of_epoch(settings, epoch, train.y_noisy, processes, with_partners)
    began = time.perf_counter() - progress.seconds
    sums = {
        name: torch.tensor(total, dtype=torch.float64, device=processes.device)
        for name, total in progress.sums.items()
    }
    rest = steps[progress.step :]
    bar = tqdm(
        zip(
            rest,
            batches_of_steps(rest, method, train, settings.seed, epoch, processes),
            strict=True,
        ),
        desc=f"epoch {epoch + 1}/{settings.epochs}",
        initial=progress.step,
        total=len(steps),
        leave=False,
        # None means: shown on a terminal only.
        disable=None if processes.is_main else True,
    )
    for step, batch in bar:
        set_learning_rate(session.optimizer, settings, epoch + progress.step / len(steps))
        output = _step(session, step, batch)
        for name, value in {"loss": output.total, **output.scalars}.items():
            sums[name] = sums.get(name, 0.0) + value.detach().double() * step.weight
        method.step_end(session.context)
        if session.average is not None:
            session.average.update()
        progress.step += 1
        if stop.save_now():
            progress.sums = {name: float(total) for name, total in sums.items()}
            progress.seconds = time.perf_counter() - began
            stop.save()
    progress.seconds = time.perf_counter() - began
    n = sum(step.n_samples for step in steps)
    return {name: total / n for name, total in _joined(sums, processes).items()}


def _joined(sums: dict[str, Tensor], processes: Processes) -> dict[str, float]:
    totals = processes.sum(torch.stack(list(sums.values())))
    return dict(zip(sums, totals.tolist(), strict=True))


def _step(session: Session, step: Step, batch: Batch) -> StepOutput:
    """One optimiser step."""
    settings, processes = session.settings, session.processes
    epoch, number = session.progress.epoch, session.progress.step
    # What a method draws from torch's global stream depends on the step alone, so a run that
    # was stopped and resumed draws the same.
    processes.seed(seed_stream(settings.seed, "method", epoch, number, processes.rank))
    output: StepOutput = session.trained(batch)
    # DDP averages over processes; this weight makes it the mean over the global batch.
    loss = output.loss * (step.weight * processes.n_processes / step.n_samples)
    if output.coupled is not None:
        loss = loss + output.coupled
    processes.backward(loss, session.method.idle_parameters())
    if settings.clip_norm is not None:
        processes.clip_gradients(clipped_groups(session.optimizer, settings), settings.clip_norm)
    session.optimizer.step()
    session.optimizer.zero_grad(set_to_none=True)
    if step.weight and output.logits is not None:
        session.dynamics.record(step.samples, output.logits)
        if session.posterior is not None:
            session.posterior.record(step.samples, output.logits)
    return output


def _finish_epoch(session: Session, epoch: int, means: dict[str, float]) -> dict[str, Any]:
    """Close an epoch: method's hook, dynamics, evaluation; returns its record."""
    method, processes = session.method, session.processes
    processes.average_running_statistics(method)
    method.epoch_end(session.context)
    measures = session.dynamics.close_epoch(epoch)
    if session.posterior is not None:
        session.posterior.close_epoch()
    figures, session.last_test = _evaluate(session)
    record: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": finite_or_none(means["loss"]),
        **measures,
        **figures,
        "scalars": {name: finite_or_none(v) for name, v in means.items() if name != "loss"},
        "seconds": session.progress.seconds,
    }
    record["scalars"] |= _evaluate_others(session) | _label_accuracy(session)
    if session.average is not None:
        with session.average.applied():
            processes.average_running_statistics(method)
            averaged, others = _evaluate(session)[0], _evaluate_others(session)
        record |= {f"averaged_{name}": value for name, value in averaged.items()}
        record["scalars"] |= {f"averaged_{name}": value for name, value in others.items()}
    return record


def _evaluate(session: Session) -> tuple[dict[str, float | None], Evaluation]:
    """Figures on the test and validation splits, with the weights as they are now.

    Returns:
        Columns of the epochs table, and the whole evaluation on the test split.
    """
    test, data = _evaluate_split(session, session.test)["clean"], session.validation
    figures: dict[str, float | None] = {
        "test_loss": finite_or_none(test.loss),
        "test_accuracy": test.accuracy,
        "test_top5": test.top5,
        "val_noisy_accuracy": None,
        "val_clean_accuracy": None,
    }
    if data is not None:
        found = _evaluate_split(session, data)
        figures |= {f"val_{labels}_accuracy": one.accuracy for labels, one in found.items()}
    return figures, test


def _evaluate_others(session: Session) -> dict[str, float | None]:
    """Figures on the further test splits."""
    figures: dict[str, float | None] = {}
    for name, data in session.other_tests.items():
        found = _evaluate_split(session, data)["clean"]
        figures |= {f"{name}_accuracy": found.accuracy, f"{name}_top5": found.top5}
    return figures


def _label_accuracy(session: Session) -> dict[str, float | None]:
    """Share of the labels that the method settled on which are the true ones, where both exist."""
    labels, y_clean = session.method.corrected_labels(), session.train.y_clean
    if labels is None or y_clean is None:
        return {}
    return {"corrected_label_accuracy": float((labels == y_clean).double().mean())}


def _evaluate_split(session: Session, data: Labelled) -> dict[str, Evaluation]:
    """One evaluation per kind of label that is known, of one pass over the images."""
    known = {"noisy": data.y_noisy, "clean": data.y_clean}
    labels = {kind: y for kind, y in known.items() if y is not None}
    return evaluate(session.method, data.images, data.index, labels, session.processes)
