"""The optimiser of a run, over the parameter groups of its method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.training.method import Method
from pipeline.training.optimisation.mixed_optimizer import MixedOptimizer
from pipeline.training.optimisation.parameter_groups import groups_of, note_made
from pipeline.training.optimisation.uncompiled import Uncompiled, uncompiled_step


def make_optimizer(method: Method, settings: RunSettings) -> torch.optim.Optimizer:
    """Optimiser over the method's parameter groups, of which some may want another than the run's.

    Raises:
        LabError: for a group with an option that does not exist.
    """
    groups = groups_of(method)
    make: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
        "adam": lambda own: _Adam(
            own, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        ),
        "sgd": lambda own: _Sgd(
            own,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=True,
        ),
    }
    if any("optimizer" in group for group in groups):
        usual: dict[str, Any] = {"optimizer": settings.optimizer}
        optimizer: torch.optim.Optimizer = MixedOptimizer([usual | g for g in groups], make)
    else:
        optimizer = make[settings.optimizer](groups)
    note_made(optimizer)
    return optimizer


class _Adam(Uncompiled, torch.optim.Adam):
    """Adam."""

    _step = uncompiled_step(torch.optim.Adam)

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Take one step."""
        del closure
        self._step()


class _Sgd(Uncompiled, torch.optim.SGD):
    """SGD whose parameters may get their first gradient after others of their group.

    The fused step takes the momentum of all of them or of none.
    """

    _step = uncompiled_step(torch.optim.SGD)

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Take one step; momentum that is new beside others' begins at 0."""
        del closure
        for group in self.param_groups:
            if group["momentum"]:
                self._begin_momentum([p for p in group["params"] if p.grad is not None])
        self._step()

    def _begin_momentum(self, learning: list[nn.Parameter]) -> None:
        has_none = [self.state.get(p, {}).get("momentum_buffer") is None for p in learning]
        if any(has_none) and not all(has_none):
            for parameter, is_new in zip(learning, has_none, strict=True):
                if is_new:
                    self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def clipped_groups(
    optimizer: torch.optim.Optimizer, settings: RunSettings
) -> list[list[nn.Parameter]]:
    """Parameters whose gradient norms are limited: all together, or each group by itself."""
    groups = [group["params"] for group in optimizer.param_groups if group.get("clipped", True)]
    return groups if settings.clip_separately else [[p for group in groups for p in group]]
