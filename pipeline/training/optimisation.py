"""How weights move: the optimiser, its learning rate over the epochs, and averaged weights.

Learning rates are closed-form functions of progress: no state, no count of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pipeline.config import RunSettings
from pipeline.training.method import Method
from pipeline.training.mixed_optimizer import MixedOptimizer
from pipeline.training.parameter_groups import groups_of, note_made


def learning_rate(settings: RunSettings, progress: float) -> float:
    """Learning rate of a step.

    Args:
        settings: lr, epochs and what the schedule needs are read.
        progress: epochs that lie behind, fractions of the current one included.

    Returns:
        cosine: lr (1 + cos(pi epoch / epochs)) / 2, which never reaches 0 within the run;
        exponential: lr lr_decay^epoch; step: lr lr_decay^(milestones passed); constant: lr;
        warmup-cosine, of the progress p with warm-up W and horizon H, in epochs: lr p / W below W,
        then lr (1 + cos(pi (p - W) / (H - W))) / 2; cosine-restarts: the cosine from lr to lr_min
        over lr_cycle epochs, again and again; linear: lr, and from lr_decay_from on
        lr (epochs - epoch) / (epochs - lr_decay_from). All but warmup-cosine are constant within an
        epoch.
    """
    epoch = int(progress)
    match settings.schedule:
        case "cosine":
            rate = settings.lr * _falling(math.pi * epoch / settings.epochs)
        case "exponential":
            rate = settings.lr * settings.lr_decay**epoch
        case "step":
            passed = sum(epoch >= milestone for milestone in settings.lr_milestones)
            rate = settings.lr * settings.lr_decay**passed
        case "constant":
            rate = settings.lr
        case "warmup-cosine":
            warmup, horizon = settings.warmup_epochs, settings.lr_horizon or settings.epochs
            if progress < warmup:
                rate = settings.lr * progress / warmup
            else:
                fraction = (progress - warmup) / (horizon - warmup)
                rate = settings.lr * _falling(math.pi * fraction)
        case "cosine-restarts":
            fraction = epoch % settings.lr_cycle / settings.lr_cycle
            rate = settings.lr_min + (settings.lr - settings.lr_min) * _falling(math.pi * fraction)
        case "linear":
            falling = max(epoch - settings.lr_decay_from, 0)
            rate = settings.lr * (1 - falling / (settings.epochs - settings.lr_decay_from))
    return rate


def _falling(angle: float) -> float:
    """From 1 at 0 to 0 at pi."""
    return (1 + math.cos(angle)) / 2


def make_optimizer(method: Method, settings: RunSettings) -> torch.optim.Optimizer:
    """Optimiser over the method's parameter groups, of which some may want another than the run's.

    Raises:
        LabError: for a group with an option that does not exist.
    """
    groups = groups_of(method)
    make: dict[str, Callable[[list[dict[str, Any]]], torch.optim.Optimizer]] = {
        "adam": lambda own: torch.optim.Adam(
            own, lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        ),
        "sgd": lambda own: torch.optim.SGD(
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


def clipped_groups(
    optimizer: torch.optim.Optimizer, settings: RunSettings
) -> list[list[nn.Parameter]]:
    """Parameters whose gradient norms are limited: all together, or each group by itself."""
    groups = [group["params"] for group in optimizer.param_groups if group.get("clipped", True)]
    return groups if settings.clip_separately else [[p for group in groups for p in group]]


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: RunSettings, progress: float
) -> float:
    """Set the rate of a step on all groups, by the run's schedule or their own; return the run's.

    A group has the rate of its `schedule` at its `own_lr`, counted from its `from_epoch` over its
    `over_epochs`, times its `lr_factor`; what it does not name is that of the run.
    """
    rate = learning_rate(settings, progress)
    for group in optimizer.param_groups:
        asked = {name: group.get(option) for name, option in _OF_SCHEDULE.items()}
        own = {name: value for name, value in asked.items() if value is not None}
        began = group.get("from_epoch", 0)
        if own or began:
            plan = settings.model_copy(update=own)
            group["lr"] = learning_rate(plan, progress - began) * group.get("lr_factor", 1.0)
        else:
            group["lr"] = rate * group.get("lr_factor", 1.0)
    return rate


_OF_SCHEDULE = {"lr": "own_lr", "schedule": "schedule", "epochs": "over_epochs"}
"""Settings that a group may have a value of its own for, and its option."""
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
