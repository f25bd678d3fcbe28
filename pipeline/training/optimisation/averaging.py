"""Averaged weights, which are evaluated beside the trained ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

_RUNNING = ("running_mean", "running_var")


class WeightAverage:
    """Average of a method's weights: average <- decay average + (1 - decay) weights, each step.

    No correction of the start: the average begins at the weights as they are. State per training
    sample and counters are not weights and stay out of it.

    Args:
        module: whose weights; their names and shapes must not change.
        decay: in (0, 1).
        buffers: whether the running statistics of batch norm are averaged too; if not, those of the
            module are used with the averaged weights.
        without: parameters that are no weights, those per training sample.
    """

    def __init__(
        self,
        module: nn.Module,
        decay: float,
        buffers: bool = True,
        without: Iterable[nn.Parameter] = (),
    ) -> None:
        self._follow = get_ema_multi_avg_fn(decay)
        left_out = {id(parameter) for parameter in without}
        self._weights: list[Tensor] = [
            p for p in module.parameters() if p.requires_grad and id(p) not in left_out
        ]
        if buffers:
            self._weights += [b for name, b in module.named_buffers() if name.endswith(_RUNNING)]
        self._averages = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self._follow(self._averages, [weight.detach() for weight in self._weights], None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module has the averaged weights."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for number, weight in enumerate(self._weights):
            weight.data, self._averages[number] = self._averages[number], weight.data

    def state(self) -> list[Tensor]:
        """The averages, in the order of the module's weights."""
        return self._averages

    def load_state(self, averages: list[Tensor]) -> None:
        """Go on from `state`."""
        for own, loaded in zip(self._averages, averages, strict=True):
            own.copy_(loaded)
