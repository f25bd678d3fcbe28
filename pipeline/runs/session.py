"""Building what the loop works with: method, optimiser, context and ledger of one run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from pipeline.config import Execution, RunSettings
from pipeline.data.views import channel_statistics
from pipeline.errors import LabError
from pipeline.runs.compilation import compile_networks
from pipeline.runs.inputs.splits import Splits
from pipeline.runs.planned import PlannedRun
from pipeline.training.batches import check_batch_size
from pipeline.training.context import Context
from pipeline.training.evaluation import BATCH, predictions, sizes_at_once
from pipeline.training.loop import Progress, Session
from pipeline.training.method import Method, Problem
from pipeline.training.observers import Ledger
from pipeline.training.optimisation import WeightAverage, make_optimizer
from pipeline.training.optimisation.parameter_groups import parameters_per_sample
from pipeline.training.processes import Processes, set_determinism


def problem_of(planned: PlannedRun, splits: Splits, processes: Processes) -> Problem:
    """What the method is built for; the encoders that the run names are loaded."""
    card = planned.inputs.dataset.card
    mean, std = channel_statistics(planned.settings.normalisation, (card.mean, card.std))
    encoders = {role: encoder.load() for role, encoder in planned.inputs.encoders.items()}
    queried = encoders.get("encoder")
    return Problem(
        n_classes=card.n_classes,
        n_train=len(splits.train.index),
        image_shape=card.image_shape,
        mean=mean,
        std=std,
        start=encoders.get("start_from"),
        encoder=None if queried is None else queried.to(processes.device),
    )


def open_session(
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
    set_determinism(settings.determinism, settings.tf32, settings.times_convolutions)
    torch.manual_seed(settings.stream("init"))  # modules are made on the CPU
    method = processes.synchronised(method_class(settings, problem)).to(processes.device)
    if execution.channels_last:
        method = method.to(memory_format=torch.channels_last)
    processes.uses_graphs = execution.compile != "off" and compile_networks(
        method, execution.compile, len(processes.share(settings.batch_size)),
        _evaluated(splits, processes, problem.image_shape), processes.device,
    )  # fmt: skip
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
            knows=method_class.knowledge(settings),
            y_noisy=train.y_noisy,
            y_clean=train.y_clean,
            n_classes=problem.n_classes,
            n_epochs=settings.epochs,
            seed=settings.root_of("method"),
            predict_pass=lambda *asked: _predict_train(session, *asked),
            share_pass=processes.from_main,
        ),
        ledger=Ledger(
            train.y_noisy, train.y_clean, problem.n_classes, processes, execution.posterior
        ),
        progress=Progress(),
    )
    if settings.averaging is not None:
        session.average = WeightAverage(
            method, settings.averaging, settings.average_buffers, parameters_per_sample(method)
        )
    return session


def _evaluated(splits: Splits, processes: Processes, image_shape: tuple[int, int, int]) -> set[int]:
    """How many images this process evaluates at once, but for the last ones."""
    others = [splits.test, *splits.other_tests.values(), splits.validation]
    shares = [len(processes.share(len(split.index))) for split in others if split is not None]
    batches = {BATCH, *(min(BATCH, n) for n in shares)}
    return {size for n in batches for size in sizes_at_once(n, image_shape[:2], processes.device)}


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
    seed = session.settings.stream("augment", session.context.epoch, "prediction")
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
    names = views or session.method.predict_views
    if augmented:
        names = tuple("weak" if name == "plain" else name for name in names)
    with weights:
        return predictions(
            session.method,
            session.train.images,
            index,
            session.processes,
            seed,
            function,
            names,
            training,
        )
