"""What a job of the engine `slurm` does on its node: its bundles, one in each of its tasks."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from pipeline.errors import Interrupted, LabError

QUEUE_AGAIN = 75
"""Exit status of a job that was told to make room: its shell queues it again."""
_WISHES = (signal.SIGUSR2, signal.SIGTERM)


@dataclass(frozen=True)
class SlurmJob:
    """The program of a job; all its tasks call it.

    Args:
        folder: of the batch.
        token: of the batch.
        bundles: numbers: one for all tasks together, or one for each task.
        together: whether the tasks train each cell together, one a GPU.
    """

    folder: Path
    token: str
    bundles: tuple[int, ...]
    together: bool

    def __call__(self) -> None:
        """Compute the bundles; a job that has to make room ends with `QUEUE_AGAIN`."""
        # Between two runs, too, a wish ends the job here and nowhere else.
        for number in _WISHES:
            signal.signal(number, _interrupt)
        try:
            self._carry_out()
        except Interrupted as stop:
            print(stop, flush=True)
            again = stop.signal_number == signal.SIGUSR2
            sys.exit(QUEUE_AGAIN if again else 128 + stop.signal_number)
        except LabError as refusal:
            print(f"error: {refusal}", file=sys.stderr, flush=True)
            sys.exit(refusal.exit_code)

    def _carry_out(self) -> None:
        # Imported here, for the program that submits needs none of it.
        from pipeline.grids.worker import carry_out_bundle

        number = self.bundles[0]
        if self.together:
            _join_tasks()
        elif (task := int(os.environ["SLURM_PROCID"])) < len(self.bundles):
            number = self.bundles[task]
        else:
            return
        carry_out_bundle(self.folder, number, self.token)


def _join_tasks() -> None:
    """Say to torch what the tasks of this job are to each other, without a launcher."""
    from submitit.helpers import TorchDistributedEnvironment

    # Slurm has chosen the GPUs, and each process takes its own by its rank.
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    name = signal.Signals(number).name
    raise Interrupted(f"stopped by {name} between two runs", number)
