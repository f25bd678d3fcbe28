"""The ledger of every training sample, for any method, on streams and with several networks."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.training.observers.dynamics import Dynamics
from pipeline.training.observers.posterior import Posterior
from pipeline.training.observers.sightings import Sightings
from pipeline.training.processes import Processes


class Ledger:
    """What the training pass tells of every training sample.

    Args:
        y_noisy: int64 [N], given labels.
        y_clean: int64 [N] or None where unknown.
        n_classes: K.
        processes: that share the batches.
        keeps_posterior: whether `save_posterior` will be asked for.
    """

    def __init__(
        self,
        y_noisy: Tensor,
        y_clean: Tensor | None,
        n_classes: int,
        processes: Processes,
        keeps_posterior: bool = False,
    ) -> None:
        n = len(y_noisy)
        self._sightings = Sightings(n, n_classes, processes)
        self._dynamics = Dynamics(y_noisy, y_clean)
        self._posterior = Posterior(n, n_classes, processes.device, keeps_posterior)

    @property
    def keeps_posterior(self) -> bool:
        """Whether `save_posterior` may be called."""
        return self._posterior.keeps_last

    def record(self, index: Tensor, logits: Tensor, step: int = 0, part: int = 0) -> None:
        """Take in one batch, or one part of it; see `Sightings.record`."""
        self._sightings.record(index, logits, step, part)

    def close_epoch(self, epoch: int) -> dict[str, float | None]:
        """Join the processes' parts of the epoch and measure it; see `Dynamics.close_epoch`."""
        sighted = self._sightings.joined()
        self._posterior.close_epoch(sighted)
        measures = self._dynamics.close_epoch(epoch, sighted)
        self._sightings.begin_epoch()
        return measures

    def samples(self) -> dict[str, Tensor]:
        """Per-sample statistics on the CPU, [N] each, in columns of the samples table.

        Returns:
            Those of `Dynamics.samples`, and mean_probabilities, float16 [N, K]: the mean of the
            softmax over the epochs that saw the sample, NaN where none did.
        """
        mean = self._posterior.mean().to(torch.float16)
        columns = self._dynamics.samples() | {"mean_probabilities": mean}
        return {name: column.cpu() for name, column in columns.items()}

    def save_posterior(self, key: str) -> None:
        """Write the softmax outputs; see `Posterior.save`."""
        self._posterior.save(key)

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on in the middle of an epoch, parts of all processes joined."""
        return self._sightings.state() | self._dynamics.state() | self._posterior.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from `state`; the joined part of the epoch is kept by the main process."""
        for part in (self._sightings, self._dynamics, self._posterior):
            part.load_state(state)
