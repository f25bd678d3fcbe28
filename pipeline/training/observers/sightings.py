"""The last logits of each training sample in the current epoch, whichever process saw it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.training.processes import Processes

_MOST_PARTS = 16
_MOST_ROWS = 2**20


class Sighted(NamedTuple):
    """What an epoch showed of the training samples, the same on all processes."""

    logits: Tensor
    """float32 [N, K], those of the last sighting; zeros for samples that were not seen."""
    seen: Tensor
    """bool [N]."""


class Sightings:
    """Takes in the logits of each step of an epoch.

    An epoch with streams or phases may see a sample several times, on several processes or in one
    batch, or not at all: what is told of it is what the last sighting told, the same on any number
    of processes.

    Args:
        n: number of training samples.
        n_classes: K.
        processes: of the run.
    """

    def __init__(self, n: int, n_classes: int, processes: Processes) -> None:
        self._processes = processes
        # Of this process, and when it saw each sample last; zero is never.
        self._logits = torch.zeros(n, n_classes, device=processes.device)
        self._stamps = torch.zeros(n, dtype=torch.int64, device=processes.device)

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor, step: int = 0, part: int = 0) -> None:
        """Take in one batch, or one part of it; in the order of the epoch.

        Args:
            index: int64 [B], positions among the training samples.
            logits: [B, K].
            step: of the epoch, over all its phases.
            part: number of the part of the step's batch.
        """
        # Processes take the rows of a batch in turns: this is their order on one process.
        n, rank = self._processes.n_processes, self._processes.rank
        first = (step * _MOST_PARTS + part) * _MOST_ROWS + rank + 1
        order = torch.arange(first, first + n * len(index), n, device=index.device)
        self._stamps.scatter_reduce_(0, index, order, "amax")
        last = (self._stamps[index] - first) // n
        # A sample that comes twice gets the same row twice: it does not matter which is written.
        self._logits[index] = logits.detach().float()[last]

    def begin_epoch(self) -> None:
        """Forget what was seen."""
        self._logits.zero_()
        self._stamps.zero_()

    def joined(self) -> Sighted:
        """What the processes saw so far; only until the next `record` or `begin_epoch`."""
        stamps, logits = self._processes.of_all(self._stamps), self._logits
        if self._processes.n_processes > 1:
            mine = stamps.argmax(dim=0) == self._processes.rank
            logits = self._processes.sum(torch.where(mine[:, None], logits, 0.0))
        return Sighted(logits, stamps.amax(dim=0) > 0)

    def state(self) -> dict[str, Tensor]:
        """The epoch so far, of all processes together."""
        return {
            "logits": self.joined().logits,
            "stamps": self._processes.of_all(self._stamps).amax(dim=0),
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`, with which the main process goes on alone."""
        self._logits.copy_(state["logits"])
        self._stamps.copy_(state["stamps"])
        if not self._processes.is_main:
            self.begin_epoch()
