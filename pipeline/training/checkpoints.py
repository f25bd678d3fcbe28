"""A run's state on disk: one file, replaced whole, tied to its key, read without running code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from pipeline.errors import LabError
from pipeline.files import replacing, store_folder
from pipeline.training.loop import Progress, Session


def checkpoint_path(key: str) -> Path:
    """Where the checkpoint of a run lies while the run is unfinished."""
    return store_folder() / "checkpoints" / f"{key}.pt"


def save_checkpoint(session: Session, key: str) -> None:
    """Write the state of a session; all processes take part, the main one writes."""
    dynamics = session.dynamics.state()
    posterior = session.posterior.state() if session.posterior else {}
    if session.processes.is_main:
        state = {
            "key": key,
            "progress": asdict(session.progress),
            "method": session.method.state_dict(),
            "optimizer": session.optimizer.state_dict(),
            "scaler": session.processes.scaler_state(),
            "dynamics": dynamics,
            "posterior": posterior,
            "average": session.average.state() if session.average else [],
        }
        with replacing(checkpoint_path(key)) as temporary:
            torch.save(state, temporary)
    session.processes.wait()


def resume(session: Session, key: str) -> bool:
    """Restore a session from its checkpoint, if there is one.

    Args:
        session: freshly built.
        key: of the run; a checkpoint of another run is refused.

    Returns:
        Whether there was a checkpoint.

    Raises:
        LabError: when the file is damaged or belongs to another run.
    """
    path = checkpoint_path(key)
    if not path.exists():
        return False
    try:
        state = torch.load(path, map_location=session.processes.device, weights_only=True)
    # A damaged file can make the reader fail in any way; whatever it is, the remedy is the same.
    except Exception as failure:
        raise LabError(
            f"checkpoint {path} is damaged ({type(failure).__name__})",
            "a complete checkpoint",
            f"rm {path}: the run then starts from its beginning",
        ) from failure
    if state["key"] != key:
        raise LabError(
            f"checkpoint {path} belongs to run {state['key']}", f"run {key}", f"rm {path}"
        )
    session.progress = Progress(**state["progress"])
    session.method.load_state_dict(state["method"])
    session.optimizer.load_state_dict(state["optimizer"])
    session.processes.load_scaler_state(state["scaler"])
    session.dynamics.load_state(state["dynamics"])
    if session.average is not None:
        session.average.load_state(state["average"])
    if session.posterior is not None:
        if not state["posterior"]:
            raise LabError(
                f"checkpoint {path} was written without --posterior",
                "the same flag from the start",
                f"rm {path}: the run then starts from its beginning",
            )
        session.posterior.load_state(state["posterior"])
    return True


def discard(key: str) -> None:
    """Remove the checkpoint of a finished run."""
    checkpoint_path(key).unlink(missing_ok=True)
