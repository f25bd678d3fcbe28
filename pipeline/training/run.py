"""One run from settings to stored rows: skipped when stored, resumed when unfinished."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from filelock import FileLock, Timeout

from pipeline.config import Execution, Params, RunSettings
from pipeline.errors import Interrupted, LabError
from pipeline.files import store_folder
from pipeline.identity import seed_stream
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.training.averaging import WeightAverage
from pipeline.training.books import Books
from pipeline.training.checkpoints import discard, resume, save_checkpoint
from pipeline.training.context import Context
from pipeline.training.describe import Cards, describe
from pipeline.training.devices import Devices, set_determinism
from pipeline.training.dynamics import Dynamics
from pipeline.training.evaluation import predictions
from pipeline.training.inputs import Inputs, Splits, load_inputs, make_splits
from pipeline.training.loop import Diverged, Progress, Session, run_epochs
from pipeline.training.method import Method, Problem
from pipeline.training.optimizers import make_optimizer
from pipeline.training.posterior import Posterior
from pipeline.training.settings import Resolved
from pipeline.training.stopping import StopRequest

Ending = Literal["done", "diverged", "stored", "busy"]


class Outcome(NamedTuple):
    """How a run ended: computed now, stored before, or being computed by another program."""

    key: str
    ending: Ending
    detail: str


def execute(
    method_class: type[Method],
    resolved: Resolved,
    execution: Execution,
    params: Params,
    devices: Devices,
) -> Outcome:
    """Carry out one run, unless it is stored; all processes call this together.

    Args:
        method_class: what trains.
        resolved: its settings.
        execution: how.
        params: names the label noise.
        devices: the processes.

    Returns:
        The outcome, the same on all processes.

    Raises:
        LabError: when the run cannot start or fails in a way the user can mend.
        Interrupted: when a stop was asked for; the state is saved.
    """
    inputs = load_inputs(resolved.settings.dataset, resolved.settings.noise)
    cards = Cards.of(inputs.dataset.card, inputs.table.card)
    row = describe(method_class, resolved, cards, params)
    key, store = row["key"], Store()
    lock_path = store_folder() / "locks" / f"{key}.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path, blocking=False)
    try:
        claim = _claim(lock, store, key, execution.force) if devices.is_main else _GRANTED
        claim = devices.largest(claim)
        if claim == _BUSY:
            return Outcome(key, "busy", "another program computes this run")
        if claim == _STORED:
            return Outcome(key, "stored", f"in {store.folder} already; --force computes it again")
        splits = make_splits(inputs, resolved.settings, devices, execution.channels_last)
        row |= {
            "n_train": len(splits.train.index),
            "n_val": len(splits.validation.index) if splits.validation else 0,
            "n_test": len(splits.test.index),
        }
        view = LiveView(execution.tracking and devices.is_main, execution.group)
        books = Books(row, store, view, devices)
        session = _open_session(method_class, resolved.settings, execution, devices, inputs, splits)
        return _train(session, key, books, execution.checkpoint_seconds)
    finally:
        if lock.is_locked:
            lock_path.unlink(missing_ok=True)
            lock.release()


_GRANTED, _STORED, _BUSY = 0, 1, 2


def _claim(lock: FileLock, store: Store, key: str, force: bool) -> int:
    """Take the run for this program, unless another one computes it or it is stored."""
    try:
        lock.acquire()
    except Timeout:
        return _BUSY
    finished = store.status(key) in {"done", "diverged"}
    return _STORED if finished and not force else _GRANTED


def _open_session(
    method_class: type[Method],
    settings: RunSettings,
    execution: Execution,
    devices: Devices,
    inputs: Inputs,
    splits: Splits,
) -> Session:
    """Build method, optimiser and everything else the loop works with."""
    _check_batch(settings.batch_size, devices.n_processes)
    set_determinism(settings.determinism)
    card, train = inputs.dataset.card, splits.train
    torch.manual_seed(seed_stream(settings.seed, "init"))  # modules are made on the CPU
    problem = Problem(card.n_classes, len(train.index), card.image_shape)
    method = devices.synchronised(method_class(settings, problem)).to(devices.device)
    if execution.channels_last:
        method = method.to(memory_format=torch.channels_last)
    if execution.compile:
        method.compile()
    trained = devices.connect(method)
    method.train()
    session = Session(
        settings=settings,
        devices=devices,
        method=method,
        trained=trained,
        optimizer=devices.connect_optimizer(make_optimizer(method, settings)),
        train=train,
        test=splits.test,
        other_tests=splits.other_tests,
        validation=splits.validation,
        context=Context(
            method=method_class.name(),
            knows=method_class.knows,
            y_noisy=train.y_noisy,
            y_clean=train.y_clean,
            n_classes=card.n_classes,
            n_epochs=settings.epochs,
            seed=settings.seed,
            predict_pass=lambda augmented, averaged: _predict_train(session, augmented, averaged),
        ),
        dynamics=Dynamics(train.y_noisy, train.y_clean, devices),
        progress=Progress(),
    )
    if settings.averaging is not None:
        session.average = WeightAverage(method, settings.averaging, settings.average_buffers)
    if execution.posterior:
        session.posterior = Posterior(len(train.index), card.n_classes, devices)
    return session


def _predict_train(session: Session, augmented: bool, averaged: bool) -> torch.Tensor:
    """Class probabilities [n_train, K] of the training samples, as a method asks for them."""
    seed = seed_stream(session.settings.seed, "augment", session.context.epoch, "prediction")
    weights: AbstractContextManager[None] = nullcontext()
    if averaged:
        if session.average is None:
            raise LabError(
                f"{session.context.method} asks for averaged weights",
                "a run that keeps them",
                "--averaging 0.999",
            )
        weights = session.average.applied()
    train = session.train
    with weights:
        return predictions(
            session.method, train.images, train.index, session.devices, seed if augmented else None
        )


def _check_batch(batch_size: int, n_processes: int) -> None:
    if batch_size % n_processes:
        fitting = batch_size // n_processes * n_processes or n_processes
        raise LabError(
            f"batch_size {batch_size} on {n_processes} processes",
            "a global batch that the number of processes divides",
            f"--batch-size {fitting}",
        )


def _train(session: Session, key: str, books: Books, checkpoint_seconds: float) -> Outcome:
    """Train from the start or the checkpoint, and store the result."""
    resumed = resume(session, key)
    stop = StopRequest(session.devices, checkpoint_seconds, lambda: save_checkpoint(session, key))
    ending: Ending = "done"
    detail = None
    books.open(session.progress.records)
    try:
        with stop:
            for record in run_epochs(session, stop):
                books.epoch(record)
    except Diverged as divergence:
        ending, detail = "diverged", str(divergence)
    except Interrupted as wish:
        books.broken_off("running", str(wish))
        raise
    except Exception as failure:
        books.broken_off("failed", str(failure) or type(failure).__name__)
        raise
    if session.posterior is not None and session.devices.is_main and ending == "done":
        session.posterior.save(key)
    books.close(session, ending, detail, resumed)
    session.devices.wait()
    if session.devices.is_main:
        discard(key)
    session.devices.release()
    return Outcome(key, ending, detail or "")
