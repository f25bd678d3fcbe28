"""One optimiser whose parameter groups are trained in different ways: SGD here, Adam there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from pipeline.training.optimisation.uncompiled import Uncompiled


class MixedOptimizer(Uncompiled):
    """Steps each parameter group by the optimiser that its option `optimizer` names.

    Groups and state are one list and one mapping, as of any optimiser, so what saves, loads,
    clips or scales gradients sees no difference. A group has the options of all kinds and may
    become one of another kind; its state has to be forgotten then.

    Args:
        groups: with `params` and `optimizer`.
        make: how an optimiser of each kind is made from groups.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        make: Mapping[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]],
    ) -> None:
        # Each kind adds its options to groups of its own.
        self._own = {kind: make[kind]([dict(group) for group in groups]) for kind in sorted(make)}
        made = zip(*(own.param_groups for own in self._own.values()), strict=True)
        super().__init__([{k: v for one in ways for k, v in one.items()} for ways in made], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Take one step on all groups."""
        del closure
        for kind, own in self._own.items():
            own.param_groups = [g for g in self.param_groups if g["optimizer"] == kind]
            own.state = self.state
            own.step()
