"""One run from settings to stored rows: skipped when stored, resumed when unfinished."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from pipeline.config import Execution, Params, RunSettings
from pipeline.data.views import channel_statistics
from pipeline.errors import Interrupted, LabError
from pipeline.files import store_folder
from pipeline.identity import seed_stream
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.runs.embedded import show_embeddings
from pipeline.runs.encoders import NamedEncoder, named_encoders
from pipeline.runs.inputs import Inputs, load_inputs
from pipeline.runs.key import Cards, describe
from pipeline.runs.record import RunRecord
from pipeline.runs.settings import Resolved
from pipeline.runs.splits import Opener, Splits, make_splits
from pipeline.runs.weights import are_kept, keep_weights
from pipeline.training.batches import check_batch_size
from pipeline.training.checkpoints import discard, resume, save_checkpoint
from pipeline.training.context import Context
from pipeline.training.evaluation import predictions
from pipeline.training.loop import Diverged, Progress, Session, run_epochs
from pipeline.training.method import Method, Problem
from pipeline.training.observers import Dynamics, Posterior
from pipeline.training.optimisation import WeightAverage, make_optimizer
from pipeline.training.processes import Processes, set_determinism
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
    processes: Processes,
) -> Outcome:
    """Carry out one run, unless it is stored; all processes call this together.

    Args:
        method_class: what trains.
        resolved: its settings.
        execution: how.
        params: names the label noise.
        processes: the processes.

    Returns:
        The outcome, the same on all processes.

    Raises:
        LabError: when the run cannot start or fails in a way the user can mend.
        Interrupted: when a stop was asked for; the state is saved.
    """
    inputs = load_inputs(resolved.settings.dataset, resolved.settings.noise)
    cards = Cards.of(inputs.dataset.card, inputs.table.card)
    named = named_encoders(resolved.settings, params)
    facts = {role: encoder.fact for role, encoder in named.items()}
    row = describe(method_class, resolved, cards, params, facts)
    key, store = row["key"], Store()
    lock_path = store_folder() / "locks" / f"{key}.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path, blocking=False)
    try:
        claim = _claim(lock, store, key, execution) if processes.is_main else _GRANTED
        claim = processes.largest(claim)
        if claim == _BUSY:
            return Outcome(key, "busy", "another program computes this run")
        if claim == _STORED:
            return Outcome(key, "stored", f"in {store.folder} already; --force computes it again")
        opener = Opener(inputs, resolved.settings, execution, processes.device)
        splits = make_splits(inputs, resolved.settings, opener, processes.device)
        row |= {
            "n_train": len(splits.train.index),
            "n_val": len(splits.validation.index) if splits.validation else 0,
            "n_test": len(splits.test.index),
        }
        view = LiveView(execution.tracking and processes.is_main, execution.group)
        run_record = RunRecord(row, store, view, processes)
        problem = _problem(resolved.settings, inputs, splits, named, processes)
        settings = resolved.settings
        session = _open_session(method_class, settings, execution, processes, problem, splits)
        if "embedding" in (*session.method.views, *session.method.predict_views):
            show_embeddings(session, opener, problem.encoder)

        def keep() -> None:
            if execution.keep_weights or method_class.makes_encoder:
                external = "extra_features" in row["knows"]
                keep_weights(session, key, problem, inputs.dataset.card, external)

        return _train(session, key, run_record, execution.checkpoint_seconds, keep)
    finally:
        if lock.is_locked:
            lock_path.unlink(missing_ok=True)
            lock.release()


_GRANTED, _STORED, _BUSY = 0, 1, 2


def _claim(lock: FileLock, store: Store, key: str, execution: Execution) -> int:
    """Take the run for this program, unless another one computes it or it is stored."""
    try:
        lock.acquire()
    except Timeout:
        return _BUSY
    return _GRANTED if is_open(key, execution, store) else _STORED


def is_open(key: str, execution: Execution, store: Store) -> bool:
    """Whether a run would be computed: it is not stored, or something that is asked for is not.

    Args:
        key: of the run.
        execution: how it would be carried out.
        store: of finished runs.
    """
    status = store.status(key)
    if execution.force or status not in {"done", "diverged"}:
        return True
    return execution.keep_weights and status == "done" and not are_kept(key)


def _problem(
    settings: RunSettings,
    inputs: Inputs,
    splits: Splits,
    named: dict[str, NamedEncoder],
    processes: Processes,
) -> Problem:
    """What the method is built for; the encoders that the run names are loaded."""
    card = inputs.dataset.card
    mean, std = channel_statistics(settings.normalisation, (card.mean, card.std))
    encoders = {role: encoder.load() for role, encoder in named.items()}
    asked = encoders.get("encoder")
    return Problem(
        n_classes=card.n_classes,
        n_train=len(splits.train.index),
        image_shape=card.image_shape,
        mean=mean,
        std=std,
        start=encoders.get("start_from"),
        encoder=None if asked is None else asked.to(processes.device),
    )


def _open_session(
    method_class: type[Method],
    settings: RunSettings,
    execution: Execution,
    processes: Processes,
    problem: Problem,
    splits: Splits,
) -> Session:
    """Build method, optimiser and everything else the loop works with."""
    train = splits.train
    check_batch_size(settings, train.y_noisy, processes.n_processes)
    set_determinism(settings.determinism)
    torch.manual_seed(seed_stream(settings.seed, "init"))  # modules are made on the CPU
    method = processes.synchronised(method_class(settings, problem)).to(processes.device)
    if execution.channels_last:
        method = method.to(memory_format=torch.channels_last)
    if execution.compile:
        method.compile()
    trained = processes.connect(method)
    method.train()
    session = Session(
        settings=settings,
        processes=processes,
        method=method,
        trained=trained,
        optimizer=processes.connect_optimizer(make_optimizer(method, settings)),
        train=train,
        test=splits.test,
        other_tests=splits.other_tests,
        validation=splits.validation,
        context=Context(
            method=method_class.name(),
            knows=method_class.knows,
            y_noisy=train.y_noisy,
            y_clean=train.y_clean,
            n_classes=problem.n_classes,
            n_epochs=settings.epochs,
            seed=settings.seed,
            predict_pass=lambda *asked: _predict_train(session, *asked),
            share_pass=processes.from_main,
        ),
        dynamics=Dynamics(train.y_noisy, train.y_clean, processes),
        progress=Progress(),
    )
    if settings.averaging is not None:
        session.average = WeightAverage(method, settings.averaging, settings.average_buffers)
    if execution.posterior:
        session.posterior = Posterior(problem.n_train, problem.n_classes, processes)
    return session


def _predict_train(
    session: Session,
    augmented: bool,
    averaged: bool,
    samples: Tensor | None,
    function: Callable[..., Tensor] | None,
    views: tuple[str, ...] | None,
    training: bool,
) -> Tensor:
    """Class probabilities [n, K] of training samples, as a method asks for them."""
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
    index = session.train.index if samples is None else session.train.index[samples]
    with weights:
        return predictions(
            session.method,
            session.train.images,
            index,
            session.processes,
            seed if augmented else None,
            function,
            views,
            training,
        )


def _train(
    session: Session,
    key: str,
    run_record: RunRecord,
    checkpoint_seconds: float,
    keep: Callable[[], None],
) -> Outcome:
    """Train from the start or the checkpoint, and store the result; `keep` writes the weights."""
    resumed = resume(session, key)
    stop = StopRequest(session.processes, checkpoint_seconds, lambda: save_checkpoint(session, key))
    ending: Ending = "done"
    detail = None
    run_record.open(session.progress.records)
    try:
        with stop:
            for record in run_epochs(session, stop):
                run_record.epoch(record)
        if session.processes.is_main:
            keep()
    except Diverged as divergence:
        ending, detail = "diverged", str(divergence)
    except Interrupted as wish:
        run_record.broken_off("running", str(wish))
        raise
    except Exception as failure:
        run_record.broken_off("failed", str(failure) or type(failure).__name__)
        raise
    if session.posterior is not None and session.processes.is_main and ending == "done":
        session.posterior.save(key)
    run_record.close(session, ending, detail, resumed)
    session.processes.wait()
    if session.processes.is_main:
        discard(key)
    session.processes.release()
    return Outcome(key, ending, detail or "")
