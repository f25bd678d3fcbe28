"""The last logits of each training sample in the current epoch, whichever process saw it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.data.host import sent
from pipeline.training.processes import Processes

_MOST_PARTS = 16
_MOST_ROWS = 2**20
_AT_ONCE = 4096
"""Rows that are taken in together."""


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
        self._waiting: list[tuple[Tensor, Tensor, int]] = []
        """Samples, logits and the first stamp of batches that are not in these yet."""
        self._n_waiting = 0

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor, step: int = 0, part: int = 0) -> None:
        """Take in one batch, or one part of it; in the order of the epoch, each once.

        Args:
            index: int64 [B], positions among the training samples.
            logits: [B, K]; nobody may change them afterwards.
            step: of the epoch, over all its phases.
            part: number of the part of the step's batch.
        """
        first = (step * _MOST_PARTS + part) * _MOST_ROWS + self._processes.rank + 1
        # The next step writes over what a CUDA graph has returned.
        kept = logits.detach().clone() if self._processes.uses_graphs else logits.detach()
        self._waiting.append((index, kept, first))
        self._n_waiting += len(index)
        if self._n_waiting >= _AT_ONCE:
            self._take_in()

    @torch.no_grad()
    def _take_in(self) -> None:
        """Take in all batches that wait, as one: alone, each would cost a step some launches."""
        if not self._waiting:
            return
        indices, logits, firsts = zip(*self._waiting, strict=True)
        self._waiting, self._n_waiting = [], 0
        # Processes take the rows of a batch in turns: this is their order on one process.
        n = self._processes.n_processes
        stamps = [
            first + n * np.arange(len(one)) for first, one in zip(firsts, indices, strict=True)
        ]
        index, order = torch.cat(indices), sent(np.concatenate(stamps), self._stamps.device)
        self._stamps.scatter_reduce_(0, index, order, "amax")
        last = torch.searchsorted(order, self._stamps[index])
        # A sample that comes twice gets the same row twice: it does not matter which is written.
        self._logits[index] = torch.cat([one.float() for one in logits])[last]

    def begin_epoch(self) -> None:
        """Forget what was seen."""
        self._logits.zero_()
        self._stamps.zero_()
        self._waiting, self._n_waiting = [], 0

    def joined(self) -> Sighted:
        """What the processes saw so far; only until the next `record` or `begin_epoch`."""
        self._take_in()
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
        self.begin_epoch()
        self._logits.copy_(state["logits"])
        self._stamps.copy_(state["stamps"])
        if not self._processes.is_main:
            self.begin_epoch()
