"""Making the encoders that runs name, before these runs start."""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline.config import Execution, Params, RunSettings
from pipeline.encoders import artefact
from pipeline.errors import LabError
from pipeline.files import encoders_folder, kept_weights_folder
from pipeline.results.store import Store
from pipeline.runs.encoders import NamedEncoder, named_encoders
from pipeline.runs.key import Cards, describe
from pipeline.runs.run import Outcome, execute, is_open
from pipeline.runs.settings import Resolved
from pipeline.training.method import Method
from pipeline.training.processes import Processes

_WAIT_SECONDS = 1.0


def carry_out(
    method: type[Method],
    resolved: Resolved,
    execution: Execution,
    params: Params,
    processes: Processes,
) -> Outcome:
    """Carry out one run, before it the encoders that it names; see `execute`."""
    settings = resolved.settings
    named = named_encoders(settings, params)
    if named:
        cards = Cards.read(settings.dataset, settings.noise)
        facts = {role: encoder.fact for role, encoder in named.items()}
        key = describe(method, resolved, cards, params, facts)["key"]
        if is_open(key, execution, Store()):
            prepare_encoders(settings, execution, params, processes)
    return execute(method, resolved, execution, params, processes)


def prepare_encoders(
    settings: RunSettings, execution: Execution, params: Params, processes: Processes
) -> None:
    """Train the encoders that a run names and that are missing; all processes call this together.

    Args:
        settings: of the run, after `prepare_encoder_inputs`.
        execution: how it is carried out, and so its encoders.
        params: has the entries.
        processes: the processes, in the precision of the run.

    Raises:
        LabError: when an encoder cannot be made.
        Interrupted: when a stop was asked for; the state is saved.
    """
    for encoder in named_encoders(settings, params).values():
        precision = encoder.run.resolved.settings.precision if encoder.run else settings.precision
        if not encoder.exists and precision != settings.precision:
            raise LabError(
                f"encoder {encoder.name} in {precision} for a run in {settings.precision}",
                "one precision per program",
                f"precision: {settings.precision} in its entry; or make it first, by itself",
            )
        make_encoder(encoder, execution, params, processes)


def make_encoder(
    encoder: NamedEncoder, execution: Execution, params: Params, processes: Processes
) -> None:
    """Train an encoder, unless its weights are there; wait while another program does.

    Args:
        encoder: to make.
        execution: how.
        params: has the entries.
        processes: the processes.

    Raises:
        LabError: when its run diverges or keeps no weights.
        Interrupted: when a stop was asked for; the state is saved.
    """
    run = encoder.run
    if run is None:
        return
    how = execution.model_copy(
        update={"keep_weights": True, "force": False, "posterior": False, "root": None}
    )
    while processes.largest(int(not encoder.exists)):
        outcome = carry_out(run.method, run.resolved, how, params, processes)
        if outcome.ending == "diverged":
            raise LabError(
                f"encoder {encoder.name}: run {outcome.key} diverged: {outcome.detail}",
                "a run that ends",
                f"lr: {run.resolved.settings.lr / 10:g} in its entry often helps",
            )
        if outcome.ending == "busy":
            time.sleep(_WAIT_SECONDS)
    if encoder.is_closed and not encoder.is_published and processes.is_main:
        kept = artefact.load(kept_weights_folder(run.key))
        card = replace(kept.card, name=encoder.name)
        artefact.save(encoders_folder(encoder.name), card, kept.state)
    processes.wait()
