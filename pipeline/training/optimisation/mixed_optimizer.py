"""One optimiser whose parameter groups are trained in different ways: SGD here, Adam there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch


class MixedOptimizer(torch.optim.Optimizer):
    """Steps each parameter group by the optimiser that its option `optimizer` names.

    Groups and state are one list and one mapping, as of any optimiser, so what saves, loads,
    clips or scales gradients sees no difference.

    Args:
        groups: with `params` and `optimizer`.
        make: how an optimiser of each kind is made from its groups.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        make: Mapping[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]],
    ) -> None:
        kinds = {str(group["optimizer"]) for group in groups}
        self._own = {
            kind: make[kind]([group for group in groups if group["optimizer"] == kind])
            for kind in sorted(kinds)
        }
        made = {kind: iter(own.param_groups) for kind, own in self._own.items()}
        # In the order of the method; each already has the options of its kind.
        super().__init__([next(made[group["optimizer"]]) for group in groups], {})

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Take one step on all groups."""
        del closure
        for kind, own in self._own.items():
            own.param_groups = [g for g in self.param_groups if g["optimizer"] == kind]
            own.state = self.state
            own.step()
