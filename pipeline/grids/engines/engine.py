"""What every engine does: take bundles of a frozen batch, say how its jobs stand, cancel them.

An engine file is the one door to its library. It plans nothing and knows no store: a job calls
`pipeline.grids.worker.carry_out_bundle`, and what is missing afterwards is submitted again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pipeline.files import replacing
from pipeline.grids.batch import Batch
from pipeline.grids.bundles import Bundle, Lengths

Phase = Literal["waiting", "running", "ended"]


class Job(NamedTuple):
    """One job of an engine, as it stands."""

    id: str
    """As the engine's own tools call it."""
    bundles: tuple[int, ...]
    """That it computes, one after another or at the same time."""
    phase: Phase
    reason: str = ""
    """Why it waits, or how it ended: empty for a job that ended by itself, with success."""
    host: str = ""
    """Where it runs or ran, if known."""
    blames_cell: bool = False
    """Whether it ended by what its cell may have done, such as taking too much memory; a node that
    was lost, a time limit or preemption is no cell's fault."""
    cancelled: bool = False
    """Whether somebody cancelled it, who does not want it handed out again."""


@dataclass(frozen=True)
class Handle:
    """What was submitted; saved as JSON, so that any later program can ask and cancel.

    Args:
        engine: name of the engine, an entry of the `engines` block or a kind.
        bundles: numbers of the bundles.
        jobs: what the engine's own tools call them, in a few words for people.
        facts: what the engine needs to find its jobs again, such as their ids; JSON.
    """

    engine: str
    bundles: tuple[int, ...]
    jobs: str
    facts: dict[str, Any]


class Engine(Protocol):
    """An engine, made of its settings."""

    name: str
    """Of its entry in the `engines` block, or of its kind."""
    tracks: bool
    """Whether its cells may be shown in MLflow as they go; otherwise it is rebuilt afterwards."""
    stays: bool
    """Whether jobs go on without the program that submitted them."""
    is_here: bool
    """Whether this program itself computes, and prints how its runs go instead of a table."""
    pause: float
    """Seconds between two looks at its jobs that its service bears."""

    def check(self) -> None:
        """Raise LabError, within seconds, where the engine cannot be used: before any planning."""

    def gpus(self, asked: int | None) -> int:
        """GPUs, and so processes, of a cell that asks for this number; 0 is one process on CPUs.

        Raises:
            LabError: when the engine can never give that many.
        """

    def slots(self) -> int:
        """Bundles that may be computed at the same time."""

    def lengths(self) -> Lengths:
        """How long bundles should take."""

    def submit(self, batch: Batch, bundles: Sequence[Bundle]) -> Handle:
        """Start all bundles or none.

        Raises:
            LabError: when the engine refuses; what it had taken by then is cancelled.
        """

    def state(self, batch: Batch, handle: Handle, patience: float) -> list[Job]:
        """The jobs of a handle.

        Args:
            batch: of the bundles.
            handle: that `submit` returned, to this program or an earlier one.
            patience: seconds to wait at most for something to change.

        Returns:
            All its jobs; each bundle is in one of them. One whose job is lost has ended.
        """

    def cancel(self, batch: Batch, handle: Handle) -> None:
        """Stop all jobs of a handle; what runs saves its state."""


def save_handle(batch: Batch, handle: Handle) -> None:
    """Save a handle in the folder of its batch."""
    path = batch.folder / "handles" / f"{min(handle.bundles)}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(handle), indent=1))


def handles(batch: Batch) -> list[Handle]:
    """All handles of a batch, in the order of their submission."""
    paths = sorted((batch.folder / "handles").glob("*.json"), key=lambda path: int(path.stem))
    return [_read(path) for path in paths]


def _read(path: Path) -> Handle:
    facts = json.loads(path.read_text())
    return Handle(facts["engine"], tuple(facts["bundles"]), facts["jobs"], facts["facts"])
