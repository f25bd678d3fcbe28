"""A run with what it needs: the encoders that it names are made before it starts."""

from __future__ import annotations

import time
from dataclasses import replace

from pipeline.config import Execution
from pipeline.encoders.artefact import load_encoder, save_encoder
from pipeline.encoders.kept import kept_weights_folder
from pipeline.errors import LabError
from pipeline.files import encoders_folder
from pipeline.results.store import Store
from pipeline.runs.planned import NamedEncoder, PlannedRun
from pipeline.runs.run import Outcome, execute, is_open
from pipeline.runs.telling import Told, nobody
from pipeline.training.method import Method
from pipeline.training.processes import Processes

_WAIT_SECONDS = 1.0


def carry_out(
    planned: PlannedRun, execution: Execution, processes: Processes, told: Told = nobody
) -> Outcome:
    """Carry out one run, before it the encoders that it names; see `execute`."""
    if planned.inputs.encoders and is_open(planned.key, execution, Store()):
        for encoder in planned.inputs.encoders.values():
            _check_precision(encoder, planned.settings.precision)
            make_encoder(encoder, execution, processes, told)
    return execute(planned, execution, processes, told)


def missing_encoders(planned: PlannedRun) -> dict[str, NamedEncoder]:
    """The encoders that would be trained for a run.

    Args:
        planned: the run.

    Returns:
        Key of each run -> what it makes, in the order in which they would be made.
    """
    found: dict[str, NamedEncoder] = {}
    for encoder in planned.inputs.encoders.values():
        if encoder.run is not None and not encoder.exists:
            found |= missing_encoders(encoder.run)
            found[encoder.run.key] = encoder
    return found


def make_encoder(
    encoder: NamedEncoder, execution: Execution, processes: Processes, told: Told = nobody
) -> None:
    """Train an encoder, unless its weights are there; wait while another program does.

    Args:
        encoder: to make; all processes call this together.
        execution: how.
        processes: in the precision of the encoder's run.
        told: how its run goes.

    Raises:
        LabError: when its run diverges, now or before, or keeps no weights.
        Interrupted: when a stop was asked for; the state is saved.
    """
    if encoder.run is None:
        return
    _check_makes_one(encoder.name, encoder.run.method)
    how = execution.model_copy(
        update={"keep_weights": True, "force": False, "posterior": False, "root": None}
    )
    while processes.largest(int(not encoder.exists)):
        outcome = carry_out(encoder.run, how, processes, told)
        if outcome.status == "diverged":
            raise LabError(
                f"encoder {encoder.name}: its training diverged (run {outcome.key}: "
                f"{outcome.detail})",
                "an encoder whose training ends",
                f"a lower lr in its entry, e.g. {encoder.run.settings.lr / 10:g}",
            )
        if outcome.ending == "busy":
            time.sleep(_WAIT_SECONDS)
    if encoder.is_closed and not encoder.is_published and processes.is_main:
        kept = load_encoder(kept_weights_folder(encoder.run.key))
        card = replace(kept.card, name=encoder.name)
        save_encoder(encoders_folder(encoder.name), card, kept.state)
    processes.wait()


def _check_makes_one(name: str, method: type[Method]) -> None:
    if method.encoder_state is Method.encoder_state:
        raise LabError(
            f"encoder {name}: a run of {method.name()}, which makes none",
            "a method with encoder_state()",
            "method: simclr in its entry",
        )


def _check_precision(encoder: NamedEncoder, precision: str) -> None:
    own = encoder.run.settings.precision if encoder.run else precision
    if not encoder.exists and own != precision:
        raise LabError(
            f"encoder {encoder.name} in {own} for a run in {precision}",
            "one precision per program",
            f"precision: {precision} in its entry; or make it first, by itself: "
            f"uv run python -m pipeline.stages.encoder {encoder.name}",
        )
