"""Parameter groups: what a method says of each, and what one phase changes about them."""

from __future__ import annotations

from typing import Any, get_args

import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.errors import LabError, quoted, suggest
from pipeline.training.method import Method
from pipeline.training.phases import Phase

Group = dict[str, Any]

PER_SAMPLE: Group = {
    "optimizer": "sgd",
    "schedule": "constant",
    "momentum": 0.0,
    "nesterov": False,
    "weight_decay": 0.0,
    "clipped": False,
}
"""What a group of parameters per training sample is trained like, unless it says otherwise."""
_OPTIONS = ("own_lr", "lr_factor", "schedule", "from_epoch", "over_epochs", "momentum", "betas",
            "weight_decay", "clipped", "optimizer")  # fmt: skip
"""What a phase may change of a group; torch's own `lr` is set anew in every step."""
_KNOWN = {*_OPTIONS, "params", "name", "nesterov", "per_sample"}
_KINDS = set(get_args(RunSettings.model_fields["optimizer"].annotation))
_MADE = "made"


def groups_of(method: Method) -> list[Group]:
    """The parameter groups of a method, ready for an optimiser of torch.

    Raises:
        LabError: for an option that no group has.
    """
    groups = []
    for given in method.parameter_groups():
        usual = PER_SAMPLE if given.get("per_sample") else {}
        groups.append(usual | _own_rate(given))
        _check(method, set(groups[-1]), _KNOWN, "an option of parameter groups")
        _check_kind(method, groups[-1])
    return groups


def _own_rate(options: Any) -> Group:
    # In torch's groups `lr` is the rate of the step.
    return {"own_lr" if name == "lr" else name: value for name, value in options.items()}


def note_made(optimizer: torch.optim.Optimizer) -> None:
    """Keep of each group what it was made with: phases change it, and the next one begins anew."""
    for group in optimizer.param_groups:
        group[_MADE] = {name: group[name] for name in _OPTIONS if name in group}


def begin_phase(
    optimizer: torch.optim.Optimizer, phase: Phase, method: Method, resumed: bool
) -> list[nn.Parameter]:
    """Set the options of a phase, and forget the optimiser state that it wants forgotten.

    A group that gets another optimiser begins without the state of the one before.

    Args:
        optimizer: over the method's groups.
        phase: that begins.
        method: for errors.
        resumed: whether the phase has begun before.

    Returns:
        Parameters that do not move in this phase.

    Raises:
        LabError: for a group, an option or an optimiser that does not exist, and for another
            optimiser of a group that was made without naming one.
    """
    groups = optimizer.param_groups
    names = {str(group["name"]) for group in groups if "name" in group}
    asked = {*(phase.trains or ()), *phase.restart, *phase.options}
    _check(method, asked, names, "a named parameter group")
    for group in groups:
        own = _own_rate(phase.options.get(group.get("name", ""), {}))
        may_set = {name for name in _OPTIONS if name != "optimizer" or name in group}
        _check(method, set(own), may_set, "an option that a phase may set of this group")
        _check_kind(method, own)
        kind = group.get("optimizer")
        for name in _OPTIONS:
            group.pop(name, None)
        group.update(group[_MADE] | own)
        restarts = group.get("name") in phase.restart and not resumed
        if restarts or group.get("optimizer") != kind:
            for parameter in group["params"]:
                optimizer.state.pop(parameter, None)
    if phase.trains is None:
        return []
    frozen = [group["params"] for group in groups if group.get("name") not in phase.trains]
    return [parameter for parameters in frozen for parameter in parameters]


def parameters_per_sample(method: Method) -> list[nn.Parameter]:
    """Parameters [n_train, ...]."""
    groups = [group for group in groups_of(method) if group.get("per_sample")]
    return [parameter for group in groups for parameter in group["params"]]


def _check_kind(method: Method, options: Group) -> None:
    if "optimizer" in options:
        _check(method, {str(options["optimizer"])}, _KINDS, "an optimiser")


def _check(method: Method, found: set[str], known: set[str], what: str) -> None:
    for name in sorted(found - known):
        raise LabError(
            f"{quoted(name)} of {method.name()} is not {what}",
            *suggest(name, known, "another name in phase_start or parameter_groups"),
        )
