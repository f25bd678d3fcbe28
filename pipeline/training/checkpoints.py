"""A run's saved state: one object, replaced whole, tied to its key, read without running code."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import LabError
from pipeline.storage.belongings import CHECKPOINTS, checkpoint_name
from pipeline.storage.place import Place
from pipeline.storage.places import artefact_place
from pipeline.training.loop import Progress, Session

FORMAT = 4
"""Raised when the content of a checkpoint changes."""
_PARTS = ("key", "progress", "method", "optimizer", "scaler", "ledger", "average", "own")


def unfinished_runs() -> set[str]:
    """Keys of the runs that have a checkpoint."""
    found = artefact_place().entries(CHECKPOINTS)
    return {entry.name.rpartition("/")[2].removesuffix(".pt") for entry in found}


def save_checkpoint(session: Session, key: str) -> None:
    """Write the state of a session; all processes take part, the main one writes."""
    processes = session.processes
    state = {
        "format": FORMAT,
        "key": key,
        "progress": asdict(session.progress) | {"sums": {}},
        "method": session.method.state_dict(),
        "optimizer": session.optimizer.state_dict(),
        "scaler": processes.scaler_state(),
        "ledger": session.ledger.state(),
        "average": session.average.state() if session.average else [],
        "own": _of_each_process(session),
    }
    with processes.together():
        if processes.is_main:
            with artefact_place().writing(checkpoint_name(key)) as file:
                torch.save(state, file)


def _differing(session: Session) -> dict[str, Tensor]:
    """What may differ between processes: running statistics, other buffers, their averages."""
    kept = session.method.state_dict().keys()
    buffers = {
        f"buffer {name}": buffer for name, buffer in session.method.named_buffers() if name in kept
    }
    averages = enumerate(session.average.state() if session.average else [])
    return buffers | {f"average {number}": average for number, average in averages}


def _of_each_process(session: Session) -> dict[str, Tensor]:
    """The state that is not the same on all processes, [n_processes, ...] each."""
    found = {}
    for name, value in _differing(session).items():
        rows = session.processes.of_all(value)
        if any(not torch.equal(row, rows[0]) for row in rows[1:]):
            found[name] = rows
    device = session.processes.device
    for name, total in session.progress.sums.items():
        value = torch.tensor(total, dtype=torch.float64, device=device)
        found[f"sum {name}"] = session.processes.of_all(value)
    return found


def resume(session: Session, key: str) -> bool:
    """Restore a session from its checkpoint, if there is one; all processes call this together.

    The same number of processes goes on exactly where it stopped. Another number starts from the
    mean of what differed between them (the running statistics of batch norm).

    Args:
        session: freshly built.
        key: of the run; a checkpoint of another run is refused.

    Returns:
        Whether there was a checkpoint.

    Raises:
        LabError: when the file is damaged, belongs to another run, or does not fit this one; on all
            processes, also where only one of them cannot read it.
    """
    place, name = artefact_place(), checkpoint_name(key)
    if not session.processes.largest(int(place.head(name) is not None)):
        return False
    path = place.uri(name)
    with session.processes.together():
        state = _read(place, name)
        if state["key"] != key:
            raise LabError(
                f"checkpoint {path} belongs to run {state['key']}", f"run {key}", _again(path)
            )
        if session.ledger.keeps_posterior and "last_p" not in state["ledger"]:
            raise LabError(
                f"checkpoint {path} was written without --posterior",
                "the same flag from the start",
                _again(path),
            )
        _restore(session, state, path)
    return True


def _again(path: str) -> str:
    remove = "aws s3 rm" if "://" in path else "rm"
    return f"{remove} {path}: the run then starts from its beginning"


def _read(place: Place, name: str) -> dict[str, Any]:
    path, content = place.uri(name), place.get(name)
    if content is None:
        raise LabError(
            f"no checkpoint {path}, though another process of this run has one",
            "a folder that all nodes share",
            "set LNL_STORE or LNL_SHARED to one",
        )
    try:
        # PyTorch writes the checksum of every part and does not look at it again.
        broken = zipfile.ZipFile(BytesIO(content)).testzip()
    # A damaged file can make the reader fail in any way; whatever it is, the remedy is the same.
    except Exception as failure:
        broken = type(failure).__name__
    if broken is not None:
        raise LabError(
            f"checkpoint {path} is damaged ({broken})",
            "the file as it was written, or none",
            _again(path),
        )
    try:
        # On the CPU first: a process finds its own device when the state is copied over.
        state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as failure:
        raise LabError(
            f"checkpoint {path} is whole, but PyTorch {torch.__version__} cannot load it: "
            f"{_first_line(failure)}",
            "a state that this version can load",
            f"the version that wrote it, or {_again(path)}",
        ) from failure
    found = state.get("format", 1) if isinstance(state, dict) else None
    if found != FORMAT:
        raise LabError(
            f"checkpoint {path} has format {found}",
            f"format {FORMAT}, that of this version of the code",
            f"the version that wrote it, or {_again(path)}",
        )
    missing = [part for part in _PARTS if part not in state]
    if missing:
        raise LabError(
            f"checkpoint {path} lacks {', '.join(missing)}",
            f"all of {', '.join(_PARTS)}",
            _again(path),
        )
    return state


def _restore(session: Session, state: dict[str, Any], path: str) -> None:
    def average(averages: list[Tensor]) -> None:
        if session.average is not None:
            session.average.load_state(averages)

    def progress(saved: dict[str, Any]) -> None:
        session.progress = Progress(**saved)

    restorers: dict[str, Callable[[Any], object]] = {
        "progress": progress,
        "method": session.method.load_state_dict,
        "optimizer": lambda saved: _load_optimizer(session.optimizer, saved),
        "scaler": session.processes.load_scaler_state,
        "ledger": session.ledger.load_state,
        "average": average,
        # Last: it has what only this process knows.
        "own": lambda saved: _restore_own(session, saved),
    }
    for part, restore in restorers.items():
        try:
            restore(state[part])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as failure:
            raise LabError(
                f"the state of {part} in checkpoint {path} does not fit ({_first_line(failure)})",
                "a state that the same code wrote",
                f"the code that wrote it, or {_again(path)}",
            ) from failure


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    optimizer.load_state_dict(saved)
    # PyTorch compares the number of parameters only; a wrong shape would fail in the first step.
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if torch.is_tensor(value) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} of another shape than its parameter")


def _restore_own(session: Session, own: dict[str, Tensor]) -> None:
    processes = session.processes
    targets = _differing(session)
    for name, rows in own.items():
        same_number = len(rows) == processes.n_processes
        if name.startswith("sum "):
            total = rows[processes.rank] if same_number else rows.sum() * processes.is_main
            session.progress.sums[name.removeprefix("sum ")] = float(total)
        elif same_number:
            targets[name].copy_(rows[processes.rank])
        else:
            targets[name].copy_(rows.mean(dim=0) if rows.is_floating_point() else rows[0])


def _first_line(failure: Exception) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return f"{type(failure).__name__}: {' '.join(lines[:2])[:160]}" if lines else repr(failure)


def discard(key: str) -> None:
    """Remove the checkpoint of a finished run."""
    artefact_place().delete([checkpoint_name(key)])
