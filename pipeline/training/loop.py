"""The one epoch loop: it trains, records and saves; it selects no epoch and knows no method."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.backbones.single_values import normalised_by_running_statistics
from pipeline.config import RunSettings
from pipeline.identity import finite_or_none
from pipeline.training.batches import Labelled, Step, TrainSamples
from pipeline.training.context import Context
from pipeline.training.evaluation import Evaluation, evaluate, evaluate_with_members
from pipeline.training.method import Batch, Method, StepOutput
from pipeline.training.observers import Ledger
from pipeline.training.optimisation import (
    WeightAverage,
    clipped_groups,
    learning_rate,
    set_learning_rate,
)
from pipeline.training.optimisation.parameter_groups import begin_phase
from pipeline.training.phases import WHOLE, checked_names
from pipeline.training.processes import Processes
from pipeline.training.running import Running
from pipeline.training.stopping import StopRequest
from pipeline.training.streams import PhaseSteps, Place


@dataclass
class Progress:
    """Where a run stands: the next step, and the sums of the epoch so far.

    All but `sums` is the same on all processes.
    """

    epoch: int = 0
    phase: int = 0
    """Number of the phase within the epoch."""
    step: int = 0
    """Within the phase."""
    before: int = 0
    """Steps of the epoch's earlier phases."""
    in_all: int = 0
    """Steps of the run."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of the loss and the scalars over the samples of this process."""
    counts: dict[str, int] = field(default_factory=dict)
    """Samples of all processes behind each sum."""
    seconds: float = 0.0
    """Of the current epoch, in this and earlier sittings."""
    speeds: list[float] = field(default_factory=list)
    """Training images a second, of the main stream, in each finished epoch."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """One row per finished epoch, in the columns of the epochs table."""

    def next_phase(self) -> None:
        """Stand at the start of the next phase of the epoch."""
        self.phase, self.step, self.before = self.phase + 1, 0, self.before + self.step

    def next_epoch(self, record: dict[str, Any]) -> None:
        """Keep the record of the finished epoch and stand at the start of the next."""
        self.records.append(record)
        if self.seconds:
            self.speeds.append(self.counts.get("loss", 0) / self.seconds)
        self.epoch, self.phase, self.step, self.before = self.epoch + 1, 0, 0, 0
        self.sums, self.counts, self.seconds = {}, {}, 0.0


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
    ledger: Ledger
    progress: Progress
    average: WeightAverage | None = None
    """Where the setting `averaging` asks for one."""
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
        Diverged: after an epoch whose mean loss is not finite; its record is kept. Its further
            phases and the method's end of the epoch are left out.
        Interrupted: when a stop was asked for; the progress is saved.
    """
    settings, progress = session.settings, session.progress
    session.method.start(session.context)
    for epoch in range(progress.epoch, settings.epochs):
        session.context.epoch, session.context.phase = epoch, WHOLE
        session.context.step = progress.in_all
        session.context.resumed = progress.phase > 0 or progress.step > 0
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
    progress, context = session.progress, session.context
    names = checked_names(session.method.phases(context))
    running = Running(progress.sums, progress.counts, session.processes)
    began = time.perf_counter() - progress.seconds

    def save() -> None:
        progress.sums, progress.seconds = running.sums(), time.perf_counter() - began
        stop.save()

    for number in range(progress.phase, len(names)):
        if number > progress.phase:
            if not math.isfinite(running.means()["loss"]):
                break  # the networks are lost, and a method would measure and divide by nothing
            # What a method measures between phases must not depend on the process it runs on.
            session.processes.average_running_statistics(session.method)
            progress.next_phase()
        context.phase, context.resumed = names[number], progress.step > 0
        for done in _train_phase(session, running, len(names)):
            progress.step = done
            if stop.save_now():
                save()
    # Before the clock stops: a GPU is done with the epoch only when it tells its sums.
    means = running.means()
    progress.seconds = time.perf_counter() - began
    return means


def _train_phase(session: Session, running: Running, n_phases: int) -> Iterator[int]:
    """Train the rest of the current phase; yields, after each step, how many of it are done."""
    settings, processes, progress = session.settings, session.processes, session.progress
    method, epoch, context = session.method, progress.epoch, session.context
    phase = method.phase_start(context)
    still = begin_phase(session.optimizer, phase, method, context.resumed)
    place = Place(epoch, context.phase)
    plan = PhaseSteps(phase, place, settings, method, session.train, processes)
    bar = tqdm(
        plan.batches(progress.step),
        desc=" ".join([f"epoch {epoch + 1}/{settings.epochs}", *place.names]),
        initial=progress.step,
        total=len(plan),
        leave=False,
        # None means: shown on a terminal only.
        disable=None if processes.is_main else True,
    )
    for number, (steps, batch) in enumerate(bar, start=progress.step):
        passed = epoch + (progress.phase + number / len(plan)) / n_phases
        set_learning_rate(session.optimizer, settings, passed)
        # What a method draws from torch's global stream depends on the step alone, so a run that
        # was stopped and resumed draws the same.
        processes.seed(plan.seed_of("method", number, processes.rank))
        output = _step(session, steps, batch, still)
        running.add(output, steps)
        _observe(session, output, steps, progress.before + number)
        progress.in_all += 1
        context.step = progress.in_all
        method.step_end(context)
        if session.average is not None:
            session.average.update()
        yield number + 1


def _step(
    session: Session, steps: Mapping[str, Step], batch: Batch, still: Iterable[nn.Parameter] = ()
) -> StepOutput:
    """One optimiser step on the steps of one or more streams, the main one first."""
    settings, processes = session.settings, session.processes
    processes.batch_begins()
    output = _passed(session, batch)
    loss = next(iter(steps.values())).share_of_loss(output.loss, processes.n_processes)
    for name, term in (output.terms or {}).items():
        loss = loss + steps[name].share_of_loss(term, processes.n_processes)
    if output.coupled is not None:
        loss = loss + output.coupled
    processes.backward(loss, [*session.method.idle_parameters(), *still])
    if output.learns:
        if settings.clip_norm is not None:
            clipped = clipped_groups(session.optimizer, settings)
            processes.clip_gradients(clipped, settings.clip_norm)
        session.optimizer.step()
    session.optimizer.zero_grad(set_to_none=True)
    return output


def _passed(session: Session, batch: Batch) -> StepOutput:
    """The pass of the method over a batch, or over one of each stream."""
    alone = any(len(part.index) == 1 for part in (batch, *batch.parts.values()))
    with normalised_by_running_statistics(session.method) if alone else nullcontext():
        output: StepOutput = session.trained(batch)
    return output


def _observe(session: Session, output: StepOutput, steps: Mapping[str, Step], number: int) -> None:
    """Let the ledger take in the logits of a step, the `number`-th of the epoch."""
    logits = output.logits
    if logits is None:
        return
    if isinstance(logits, Tensor):
        logits = {next(iter(steps)): logits}
    for part, (name, rows) in enumerate(logits.items()):
        if steps[name].weight:
            session.ledger.record(steps[name].samples, rows, number, part)


def _finish_epoch(session: Session, epoch: int, means: dict[str, float]) -> dict[str, Any]:
    """Close an epoch: method's hook, ledger, evaluation; returns its record."""
    method, processes = session.method, session.processes
    processes.average_running_statistics(method)
    if math.isfinite(means["loss"]):
        method.epoch_end(session.context)
    measures = session.ledger.close_epoch(epoch)
    figures, others, session.last_test = _evaluate(session)
    record: dict[str, Any] = {
        "epoch": epoch,
        "train_loss": finite_or_none(means["loss"]),
        **measures,
        **figures,
        "scalars": {name: finite_or_none(v) for name, v in means.items() if name != "loss"},
        "seconds": session.progress.seconds,
    }
    record["scalars"] |= others | _label_accuracy(session)
    if session.average is not None:
        with session.average.applied():
            processes.average_running_statistics(method)
            averaged, others, _ = _evaluate(session)
        record |= {f"averaged_{name}": value for name, value in averaged.items()}
        record["scalars"] |= {f"averaged_{name}": value for name, value in others.items()}
    return record


def _evaluate(
    session: Session,
) -> tuple[dict[str, float | None], dict[str, float | None], Evaluation]:
    """Figures on the test and validation splits, with the weights as they are now.

    Returns:
        Columns of the epochs table; figures on the further test splits, and of each network of the
        method on the test split; and the whole evaluation on the test split.
    """
    assert session.test.y_clean is not None  # test splits have true labels, whatever they are named
    test, members = evaluate_with_members(
        session.method, session.test.images, session.test.index, session.test.y_clean,
        session.processes,
    )  # fmt: skip
    figures: dict[str, float | None] = {
        "test_loss": finite_or_none(test.loss),
        "test_accuracy": test.accuracy,
        "test_top5": test.top5,
        "test_calibration_error": finite_or_none(test.calibration_error),
        "val_noisy_accuracy": None,
        "val_clean_accuracy": None,
    }
    if session.validation is not None:
        found = _evaluate_split(session, session.validation)
        figures |= {f"val_{labels}_accuracy": one.accuracy for labels, one in found.items()}
    others: dict[str, float | None] = {}
    for name, data in session.other_tests.items():
        other = _evaluate_split(session, data)["clean"]
        others |= {f"{name}_accuracy": other.accuracy, f"{name}_top5": other.top5}
    others |= {f"test_accuracy_{name}": member.accuracy for name, member in members.items()}
    return figures, others, test


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
