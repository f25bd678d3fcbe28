"""One run from its plan to stored rows: skipped when stored, resumed when unfinished."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pipeline.config import Execution
from pipeline.errors import Interrupted, LabError
from pipeline.results.claims import Claim, claim, claims
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.runs.code import note_other_code
from pipeline.runs.inputs.embedded import show_embeddings
from pipeline.runs.inputs.splits import Opener, make_splits
from pipeline.runs.planned import PlannedRun
from pipeline.runs.record import FINAL, RunRecord
from pipeline.runs.session import open_session, problem_of
from pipeline.runs.speed import images_per_second, in_words, share_of_peak
from pipeline.runs.telling import Sitting, Told, nobody
from pipeline.runs.weights import are_kept, keep_weights
from pipeline.storage.places import store_place
from pipeline.training.checkpoints import discard, resume, save_checkpoint
from pipeline.training.loop import Diverged, Session, run_epochs
from pipeline.training.observers import has_posterior
from pipeline.training.processes import Processes
from pipeline.training.stopping import StopRequest

Ending = Literal["done", "diverged", "failed", "stored", "busy"]


class TakenOver(Exception):
    """Another program has taken the run over, because this one did not renew its claim in time."""


class Outcome(NamedTuple):
    """How a run ended: computed now, stored before, or being computed by another program."""

    key: str
    ending: Ending
    detail: str = ""
    status: str | None = None
    """What the store says of the run; None while another program computes it."""
    speed: str = ""
    """How fast it trained, in words; nothing unless it was computed now."""


def execute(
    planned: PlannedRun, execution: Execution, processes: Processes, told: Told = nobody
) -> Outcome:
    """Carry out one run, unless it is stored; all processes call this together.

    Args:
        planned: the run.
        execution: how.
        processes: to train on.
        told: how it goes.

    Returns:
        The outcome, the same on all processes.

    Raises:
        LabError: when the run cannot start or fails in a way the user can mend.
        Interrupted: when a stop was asked for; the state is saved.
    """
    key, store = planned.key, Store()
    held: Claim | None = None
    state = _STORED
    if processes.is_main:
        state, held = _claim(key, execution, store)
    state = processes.largest(state)
    if state == _BUSY:
        return Outcome(key, "busy", _by_whom(key))
    if state == _STORED:
        return _stored(planned, store, execution, processes)
    view = LiveView(execution.tracking and processes.is_main)
    how = {"grid": execution.grid, "compiled": execution.compile}
    record = RunRecord(planned.row | how, store, view, processes)
    try:
        return _train(planned, execution, processes, record, held, told)
    except TakenOver:
        return Outcome(key, "busy", f"taken over: {_by_whom(key)}; nothing was written here")
    except Interrupted as wish:
        record.broken_off("running", str(wish))
        raise
    except Exception as failure:
        record.broken_off("failed", str(failure) or type(failure).__name__)
        raise
    finally:
        if held is not None:
            held.release()


_STORED, _BUSY, _GRANTED = 0, 1, 2


def _claim(key: str, execution: Execution, store: Store) -> tuple[int, Claim | None]:
    """Take the run for this program, unless it is stored or another one computes it."""
    # Asked first without the claim: who may only read the store is told of stored runs, too.
    if not is_open(key, execution, store):
        return _STORED, None
    held = claim(store_place(), key)
    if held is None:
        return _BUSY, None
    if is_open(key, execution, store):
        return _GRANTED, held
    held.release()
    return _STORED, None


def _by_whom(key: str) -> str:
    found = claims(store_place(), key)
    where = f" ({found[0].holder})" if found else ""
    return f"another program computes this run{where}"


def is_open(key: str, execution: Execution, store: Store) -> bool:
    """Whether a run would be computed: it is not stored, or something that is asked for is not.

    Args:
        key: of the run.
        execution: how it would be carried out.
        store: of finished runs.
    """
    status = store.status(key)
    if execution.force or status not in FINAL:
        return True
    lacks_weights = execution.keep_weights and not are_kept(key)
    lacks_posterior = execution.posterior and not has_posterior(key)
    return status == "done" and (lacks_weights or lacks_posterior)


def _stored(
    planned: PlannedRun, store: Store, execution: Execution, processes: Processes
) -> Outcome:
    """Tell of a run that is stored, and note what is new about it."""
    row, settings = store.run(planned.key) or {}, planned.settings
    detail = f"in {store.place.address} already; --force computes it again"
    place = f"{settings.dataset}/{settings.noise}"
    changes: dict[str, Any] = {}
    if place != f"{row.get('dataset')}/{row.get('noise')}":
        detail = f"as {row.get('dataset')}/{row.get('noise')}, whose labels are the same, {detail}"
        changes["also_named"] = sorted({*(row.get("also_named") or ()), place})
    if processes.is_main:
        if execution.accept_code:
            changes["code_digest"] = planned.row["code_digest"]
        else:
            note_other_code(planned.row, row)
        _note_changes(store, row, changes)
    return Outcome(planned.key, "stored", detail, row.get("status"))


def _note_changes(store: Store, row: dict[str, Any], changes: dict[str, Any]) -> None:
    """Write what is new about a stored run; who may only read the store leaves it."""
    if any(row.get(name) != value for name, value in changes.items()):
        try:
            store.write_run(row | changes)
        except LabError:
            if "code_digest" in changes:  # asked for, so not to be passed over
                raise


def _train(
    planned: PlannedRun,
    execution: Execution,
    processes: Processes,
    record: RunRecord,
    held: Claim | None,
    told: Told,
) -> Outcome:
    """Train from the start or the checkpoint, and store the result."""
    key, inputs, settings = planned.key, planned.inputs, planned.settings
    opener = Opener(inputs.dataset, inputs.table, settings, execution, processes.device)
    splits = make_splits(inputs.dataset, inputs.table, settings, opener, processes.device)
    problem = problem_of(planned, splits, processes)
    session = open_session(planned.method, settings, execution, processes, problem, splits)
    if problem.encoder is not None:
        show_embeddings(session, opener, problem.encoder)
    resumed = resume(session, key)
    record.open(splits.counts, session.progress.records if resumed else None)
    sitting = Sitting(planned, session.progress.epoch, told if processes.is_main else nobody)
    with StopRequest(
        processes,
        execution.checkpoint_seconds,
        lambda: _write_checkpoint(session, key, held),
        lambda: held is not None and held.is_lost,
    ) as stop:
        ending, detail = _run_loop(session, stop, record, sitting)
    _require_claim(held, processes)
    speed = {
        "images_per_second": images_per_second(session),
        "share_of_peak": share_of_peak(session, problem.image_shape),
    }
    with_model = False
    # Only the main process writes; the others learn of its failure.
    with processes.together():
        if processes.is_main and ending == "done":
            # A run that is computed again renews what it kept, which its numbers speak of.
            with_model = execution.keep_weights or are_kept(key)
            if with_model or planned.method.makes_encoder:
                keep_weights(session, planned, problem, with_model)
            if session.ledger.keeps_posterior:
                session.ledger.save_posterior(key)
        record.close(session, ending, detail, speed, with_model)
    if processes.is_main:
        discard(key)
    processes.release()
    return Outcome(key, ending, detail or "", ending, in_words(*speed.values()))


def _write_checkpoint(session: Session, key: str, held: Claim | None) -> None:
    _require_claim(held, session.processes)
    save_checkpoint(session, key)


def _run_loop(
    session: Session, stop: StopRequest, record: RunRecord, sitting: Sitting
) -> tuple[Literal["done", "diverged"], str | None]:
    """Run the epoch loop to its end; returns the status and why a run diverged."""
    try:
        for finished in run_epochs(session, stop):
            record.epoch(finished)
            sitting.epoch(finished)
    except Diverged as divergence:
        return "diverged", str(divergence)
    return "done", None


def _require_claim(held: Claim | None, processes: Processes) -> None:
    """Renew the claim before something is written; all processes call this together.

    Raises:
        TakenOver: on all processes, when another program has taken the run over.
    """
    if held is not None:
        held.renew()
    if processes.largest(int(held is not None and held.is_lost)):
        raise TakenOver
